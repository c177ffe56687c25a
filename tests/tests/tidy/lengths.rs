//! Lengths of files, functions and document lines.

use crate::Violation;
use crate::lexer::{Kind, Token, tokens};
use crate::repository::{FILES, File};

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_LINE_CHARS: usize = 100;

/// Returns source files that are too long.
pub fn files() -> Vec<Violation> {
    let sources = FILES.iter().filter(|file| file.has_extension(&["rs", "c", "h"]));
    let long = sources.filter(|file| file.text.lines().count() > MAX_FILE_LINES);
    long.map(|file| Violation {
        key: file.path.clone(),
        message: format!(
            "{}:{}: has {} lines, at most {MAX_FILE_LINES} are allowed: split it into parts that change together",
            file.path,
            MAX_FILE_LINES + 1,
            file.text.lines().count()
        ),
    })
    .collect()
}

/// Returns functions that are too long, from their name to their closing brace.
pub fn functions() -> Vec<Violation> {
    let sources = FILES.iter().filter(|file| file.has_extension(&["rs", "c"]));
    sources
        .flat_map(|file| functions_of(file).into_iter().filter_map(|function| too_long(file, &function)))
        .collect()
}

/// Returns lines of Markdown that are too long. Table rows and code are exempt because they cannot be wrapped.
pub fn document_lines() -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in FILES.iter().filter(|file| file.has_extension(&["md"])) {
        let mut is_code = false;
        let long = file.text.lines().enumerate().filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            is_code ^= fence;
            let wraps = !is_code && !fence && !line.trim_start().starts_with('|');
            wraps && line.chars().count() > MAX_LINE_CHARS
        });
        let long: Vec<String> = long.map(|(index, _)| (index + 1).to_string()).collect();
        if let Some(first) = long.first() {
            violations.push(Violation {
                key: file.path.clone(),
                message: format!(
                    "{}:{first}: wrap at {MAX_LINE_CHARS} characters; {} lines are longer: {}",
                    file.path,
                    long.len(),
                    long[..long.len().min(10)].join(", ")
                ),
            });
        }
    }
    violations
}

struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

fn too_long(file: &File, function: &Function) -> Option<Violation> {
    let lines = function.last_line - function.first_line + 1;
    (lines > MAX_FUNCTION_LINES).then(|| Violation {
        key: format!("{} {}", file.path, function.name),
        message: format!(
            "{}:{}: `{}` has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed: move a step into a separate function",
            file.path, function.first_line, function.name
        ),
    })
}

fn functions_of(file: &File) -> Vec<Function> {
    let tokens = tokens(&file.text);
    let is_c = file.has_extension(&["c"]);
    let mut functions = Vec::new();
    let mut depth = 0;
    for at in 1..tokens.len() {
        depth = depth + i32::from(tokens[at - 1].is("{")) - i32::from(tokens[at - 1].is("}"));
        let begins = match is_c {
            true => depth == 0 && tokens[at].is("{") && tokens[at - 1].is(")"),
            false => tokens[at - 1].is("fn") && tokens[at].kind == Kind::Word,
        };
        let Some(last) = begins.then(|| end_of_body(&tokens[at..])).flatten() else { continue };
        let name = if is_c { c_name(&tokens[..at]) } else { tokens[at] };
        functions.push(Function {
            name: name.text.to_owned(),
            first_line: name.line,
            last_line: tokens[at + last].line,
        });
    }
    functions
}

/// Returns the closing brace of the function whose name or body is at the beginning, if it has a body.
fn end_of_body(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            ";" if depth == 0 => return None,
            "{" | "(" | "[" if token.kind == Kind::Symbol => depth += 1,
            "}" | ")" | "]" if token.kind == Kind::Symbol => {
                depth -= 1;
                if depth == 0 && token.is("}") {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the name before the last parameter list.
fn c_name<'a>(tokens: &[Token<'a>]) -> Token<'a> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().rev() {
        depth = depth + i32::from(token.is(")")) - i32::from(token.is("("));
        if depth == 0 && at > 0 {
            return tokens[at - 1];
        }
    }
    tokens[0]
}
