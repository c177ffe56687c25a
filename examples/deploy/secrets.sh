#!/bin/sh
# Makes the secrets of an installation, once. Nobody else on this machine can enter the directory;
# inside of the containers, the user of the engine must be able to read the files.
set -eu
cd "$(dirname "$0")"
[ ! -e secrets ] || { echo "there are secrets already: $PWD/secrets" >&2; exit 1; }
random() { head -c "$1" /dev/urandom; }
password=$(random 24 | od -An -tx1 | tr -d ' \n')
admin_key=$(random 24 | od -An -tx1 | tr -d ' \n')
encryption_key=$(random 32 | base64)
mkdir -m 700 secrets
printf %s "$password" > secrets/postgres_password
printf %s "$admin_key" > secrets/admin_key
printf %s "$encryption_key" > secrets/encryption_key
cat > secrets/hookwright.toml <<END
database = "postgres://hookwright:$password@postgres/hookwright"
admin_key = "$admin_key"
encryption_key = "$encryption_key"
END
chmod 644 secrets/*
echo "$PWD/secrets: keep a copy of hookwright.toml elsewhere; without encryption_key, backups cannot be read"
