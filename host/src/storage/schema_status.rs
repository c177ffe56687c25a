//! How the schema of a database compares with the migrations of this engine. Nothing is changed.

use sqlx::migrate::{Migration, Migrator};

/// How the schema of a database compares with this engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The newest migration that the database has; 0 if no engine has used it.
    pub version: i64,
    /// The newest migration of this engine.
    pub known: i64,
    /// The migrations that the next start applies, in order.
    pub pending: Vec<PendingMigration>,
    /// Applied migrations whose text differs from that in this engine: it refuses to start.
    pub changed: Vec<i64>,
    /// Whether a newer engine changed the schema so that this one refuses to start.
    pub is_too_new: bool,
}

/// A migration that the next start applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    /// Its number.
    pub version: i64,
    /// The name of its file.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// The tables that it reads or rewrites as a whole, as often as it does so.
    pub tables: Vec<String>,
    /// How many rows these have together, roughly.
    pub rows: u64,
}

impl SchemaStatus {
    /// Compares migrations with those that a database has: versions and checksums.
    pub(super) fn compare(migrator: &Migrator, applied: &[(i64, Vec<u8>)]) -> Self {
        let find = |version: i64| applied.iter().find(|(known, _)| *known == version);
        let (mut pending, mut changed) = (Vec::new(), Vec::new());
        for migration in migrator.iter() {
            match find(migration.version) {
                None => pending.push(PendingMigration::of(migration)),
                Some((_, checksum)) if **checksum != *migration.checksum => changed.push(migration.version),
                Some(_) => {}
            }
        }
        let newest = |versions: &mut dyn Iterator<Item = i64>| versions.max().unwrap_or(0);
        Self {
            version: newest(&mut applied.iter().map(|(version, _)| *version)),
            known: newest(&mut migrator.iter().map(|migration| migration.version)),
            pending,
            changed,
            is_too_new: false,
        }
    }

    /// Whether the database has a migration that this engine lacks.
    pub(super) fn has_unknown(migrator: &Migrator, applied: &[(i64, Vec<u8>)]) -> bool {
        applied.iter().any(|(version, _)| !migrator.version_exists(*version))
    }
}

impl PendingMigration {
    fn of(migration: &Migration) -> Self {
        let sql = migration.sql.as_str();
        Self {
            version: migration.version,
            name: migration.description.to_string(),
            purpose: purpose(sql),
            tables: whole_tables(sql),
            rows: 0,
        }
    }
}

/// The first sentence of the comment at the head of a migration.
fn purpose(sql: &str) -> String {
    let comment = sql.lines().map_while(|line| line.trim().strip_prefix("--")).map(str::trim);
    let text = comment.collect::<Vec<_>>().join(" ");
    match text.find(". ") {
        Some(end) => text[..=end].to_owned(),
        None => text,
    }
}

/// The tables that statements read or rewrite as a whole. Others change the catalog alone, or rows that they name.
fn whole_tables(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join(" ");
    // Bodies of functions in PostgreSQL run later, if at all.
    let outside = text.split("$$").step_by(2).collect::<Vec<_>>().join(" ");
    outside.split(';').filter_map(whole_table).collect()
}

fn whole_table(statement: &str) -> Option<String> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|candidate| candidate.eq_ignore_ascii_case(word))?;
        words.get(at + 1).copied()
    };
    let first = words.first()?.to_ascii_uppercase();
    let table = match first.as_str() {
        "UPDATE" => words.get(1).copied(),
        "INSERT" | "DELETE" => after("FROM"),
        "CREATE" if words.iter().take(3).any(|word| word.eq_ignore_ascii_case("INDEX")) => after("ON"),
        _ => None,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: String = table?.chars().take_while(|c| is_name(*c)).collect();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_says_what_it_is_for_and_which_tables_it_reads() {
        let sql = "-- Things have colours. More of it\n-- is here.\n\nALTER TABLE things ADD COLUMN colour TEXT;  -- a; b\n\
            UPDATE things SET colour = 'red';\nCREATE UNIQUE INDEX by_colour ON things (colour);\n\
            CREATE FUNCTION f() AS $$ BEGIN UPDATE others SET a = 1; END $$;\nINSERT INTO marks VALUES (1);\n\
            INSERT INTO copies SELECT a FROM others;";
        assert_eq!(purpose(sql), "Things have colours.");
        assert_eq!(whole_tables(sql), ["things", "things", "others"]);
        assert_eq!(purpose("ALTER TABLE a ADD COLUMN b"), "");
    }

    #[test]
    fn pending_changed_and_unknown_migrations_are_told_apart() {
        let migrator = sqlx::migrate!("migrations/sqlite");
        let all: Vec<(i64, Vec<u8>)> =
            migrator.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect();
        let newest = all.last().unwrap().0;
        let status = |applied: &[(i64, Vec<u8>)]| {
            let status = SchemaStatus::compare(&migrator, applied);
            (
                status.version,
                status.pending.len(),
                status.changed.len(),
                SchemaStatus::has_unknown(&migrator, applied),
            )
        };
        assert_eq!(status(&all), (newest, 0, 0, false));
        assert_eq!(status(&[]), (0, all.len(), 0, false));
        assert_eq!(status(&all[..all.len() - 2]), (all[all.len() - 3].0, 2, 0, false));
        let mut other = all.clone();
        other[0].1 = vec![0];
        assert_eq!(status(&other), (newest, 0, 1, false));
        let mut newer = all.clone();
        newer.push((newest + 1, vec![0]));
        assert_eq!(status(&newer), (newest + 1, 0, 0, true));
    }
}
