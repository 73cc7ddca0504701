//! What commands read: configuration, rule sets, mappings, folders of files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::Failure;
use crate::config::{Config, Layers, Lookup};
use crate::document::Mistakes;
use crate::intake::mapping::Mapping;
use crate::rules::{Loaded, Options, load};

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file; `forewarn config reference` prints one with every option
    #[arg(short, long, value_name = "FILE", default_value = "forewarn.yaml")]
    pub(super) config: PathBuf,
    /// Overrides an option, for example `http.listen=0.0.0.0:9464`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl ConfigArgs {
    /// Hands all layers to a reader of the configuration.
    pub(super) fn read<T>(
        &self,
        then: impl FnOnce(&Layers<'_>) -> Result<T, Mistakes>,
    ) -> Result<T, Failure> {
        let name = self.config.display().to_string();
        let text = fs::read_to_string(&self.config).map_err(|error| {
            Failure::Invalid(format!(
                "can't read the configuration {name}: {error}\n  hint: name it with --config"
            ))
        })?;
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let variable = |name: &str| env.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let file = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
        let lookup = Lookup { env: &variable, file: &file };
        Ok(then(&Layers { file: Some((&name, &text)), env: &env, set: &self.set, lookup })?)
    }

    /// The configuration.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        self.read(Config::load)
    }
}

/// The files of a folder with one of these endings, by name; or the file itself.
pub(super) fn list(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failure::Invalid(format!("can't read {}: {error}", path.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let fits =
            path.extension().and_then(|ending| ending.to_str()).is_some_and(|own| endings.contains(&own));
        if fits && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

const DOCUMENTS: [&str; 3] = ["yaml", "yml", "json"];

/// Names and texts of the documents of a folder.
pub(super) fn documents(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let files = list(path, &DOCUMENTS)?;
    if files.is_empty() {
        let (path, endings) = (path.display(), DOCUMENTS.join(", ."));
        return Err(Failure::Invalid(format!("there is no file in {path}\n  hint: files end in .{endings}")));
    }
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
            Ok((file.display().to_string(), text))
        })
        .collect()
}

/// Checks and compiles the rule set of a folder.
pub(super) fn rule_set(path: &Path, options: Options) -> Result<Loaded, Failure> {
    let files = documents(path)?;
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Ok(load(&files, options)?)
}

/// Reads the mappings of a folder; none where no folder is named.
pub(super) fn mappings(path: Option<&Path>) -> Result<Vec<Mapping>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let mut mistakes = Mistakes::default();
    let files = documents(path)?;
    let found = files.iter().filter_map(|(name, text)| Mapping::parse(name, text, &mut mistakes)).collect();
    if mistakes.is_empty() { Ok(found) } else { Err(mistakes.into()) }
}
