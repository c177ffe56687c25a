# Supervises a temporary PostgreSQL server. Arguments: the directory of the binaries, the server's
# directory, and lines of postgresql.conf. Each line of standard input is a command; the answer is
# `ok`, or what went wrong. At the end of the input, the server and its directory are removed.
bin=$1 dir=$2 data=$2/data

# PostgreSQL refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
  as='runuser -u postgres --'
  chown postgres "$dir"
fi

logged() { "$@" >> "$dir/log" 2>&1 < /dev/null; }

control() { logged $as "$bin/pg_ctl" "$@" -w -t 60 -D "$data"; }

create() {
  logged $as "$bin/initdb" -D "$data" -U postgres -A trust -N --locale=C -E UTF8 --no-instructions &&
    printf '%s\n' "$1" >> "$data/postgresql.conf"
}

start() {
  # After a kill, processes of the former server hold its shared memory for a moment.
  tries=0
  until control start -l "$dir/server.log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
    sleep 0.1
  done
}

# SIGKILL leaves a small segment of shared memory, which the next start would remove.
remove_segment() {
  segment=$(sed -n 7p "$data/postmaster.pid" | awk '{ print $2 }')
  [ -z "$segment" ] || logged ipcrm -m "$segment"
}

while read -r command; do
  case $command in
    create) create "$3" ;;
    start) start ;;
    stop) control stop -m immediate ;;
    kill) logged kill -KILL "$(head -n 1 "$data/postmaster.pid")" ;;
    *) false ;;
  esac && echo ok || tail -q -n 5 "$dir"/*log | tr '\n' ' ' | sed 's/$/\n/'
done

[ ! -e "$data/postmaster.pid" ] || control stop -m immediate || remove_segment
rm -rf "$dir"
