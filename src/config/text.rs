//! Strings with references in them, and strings that must not be shown.

use std::fmt;

use crate::document::{Code, Mistakes, Span};

/// Where references are looked up, so that this room does no I/O.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// The value of an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file, or why it can't be read.
    pub file: &'a dyn Fn(&str) -> Result<String, String>,
}

impl fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// A value that may be secret: shown as it was written, never as it reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    shown: String,
}

impl Secret {
    pub(super) fn new(name: &str, written: &str, value: String) -> Self {
        Self { value, shown: shown(name, written).to_owned() }
    }

    /// The value itself, for the client that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// What may be shown of a value: references as written, values of telling names hidden.
pub(super) fn shown<'t>(name: &str, written: &'t str) -> &'t str {
    let name = name.to_ascii_lowercase();
    let secret = ["password", "secret", "token", "credential", "private", "key.pem", "sasl.jaas"]
        .iter()
        .any(|part| name.contains(part));
    let harmless = ["endpoint", "token.url"].iter().any(|part| name.contains(part));
    // A reference alone tells nothing; with text around it, the text may be the secret.
    let reference = written.starts_with("${") && written.find('}') == Some(written.len() - 1);
    if secret && !harmless && !reference { "***" } else { written }
}

/// Replaces `${env:X}`, `${env:X:-default}`, `${file:/path}` and `${application_id}`; reports what can't be replaced.
pub(super) fn resolve(
    written: &str,
    application_id: Option<&str>,
    lookup: Lookup<'_>,
    (span, mistakes): (Span, &mut Mistakes),
) -> Option<String> {
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let Some((reference, tail)) = after.split_once('}') else {
            mistakes
                .report(span, Code::E03, "`${` is never closed")
                .hint("write `${env:NAME}` or `${file:/path}`");
            return None;
        };
        text.push_str(&one(reference, application_id, lookup, (span, mistakes))?);
        rest = tail;
    }
    text.push_str(rest);
    Some(text)
}

fn one(
    reference: &str,
    application_id: Option<&str>,
    lookup: Lookup<'_>,
    (span, mistakes): (Span, &mut Mistakes),
) -> Option<String> {
    if reference == "application_id" {
        return Some(application_id?.to_owned());
    }
    if let Some(name) = reference.strip_prefix("env:") {
        let (name, default) =
            name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
        let found = (lookup.env)(name).or_else(|| default.map(str::to_owned));
        if found.is_none() {
            mistakes
                .report(span, Code::E07, format!("environment variable `{name}` is not set"))
                .hint(format!("set it, or write `${{env:{name}:-DEFAULT}}`"));
        }
        return found;
    }
    if let Some(path) = reference.strip_prefix("file:") {
        return match (lookup.file)(path) {
            Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(reason) => {
                mistakes.report(span, Code::E07, format!("file `{path}` can't be read: {reason}"));
                None
            }
        };
    }
    mistakes
        .report(span, Code::E07, format!("`${{{reference}}}` refers to nothing"))
        .detail("references are ${env:NAME} ${env:NAME:-default} ${file:/path} ${application_id}");
    None
}
