//! Where a value comes from: flag, environment, file, default — in that order. Unknown names are errors
//! with a suggestion, since a misspelt limit is a limit that nobody set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::config::settings::{SETTINGS, Setting, name};
use crate::exit::{Exit, Trouble};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    /// A file that the environment or the configuration names.
    SecretFile(PathBuf),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::SecretFile(path) | Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// All values by name.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// Prefixes that are ours: a variable that begins so and isn't a setting is a typing error.
const OUR_PREFIXES: [&str; 3] = ["BATCH_", "OVERNIGHT_", "SUBMIT_"];
/// What a setting's name ends in where a file holds its value.
const FILE_SUFFIX: &str = "_FILE";

/// Reads all layers. Trouble of every value is gathered, so that a person mends all at once.
pub(crate) fn read(global: &Global, environment: &BTreeMap<String, String>) -> (Values, Vec<Trouble>) {
    let mut troubles = Vec::new();
    let mut values = Values::new();
    let mut put = |setting: &'static Setting, text: String, origin: Origin| {
        if !text.is_empty() {
            values.insert(setting.name, Value { text, origin });
        }
    };
    for setting in SETTINGS {
        put(setting, setting.default.to_owned(), Origin::Default);
    }
    match config_file(global, environment).map(|path| file_values(&path)).transpose() {
        Ok(file) => file.into_iter().flatten().for_each(|(setting, text, origin)| put(setting, text, origin)),
        Err(trouble) => troubles.push(trouble),
    }
    for setting in SETTINGS {
        match environment_value(setting, environment) {
            Ok(Some((text, origin))) => put(setting, text, origin),
            Ok(None) => {}
            Err(trouble) => troubles.push(trouble),
        }
    }
    troubles.extend(environment.keys().filter_map(|variable| unknown_variable(variable)));
    for (setting, text) in flags(global, &mut troubles) {
        put(setting, text, Origin::Flag);
    }
    (values, troubles)
}

fn flags(global: &Global, troubles: &mut Vec<Trouble>) -> Vec<(&'static Setting, String)> {
    let named = [
        (name::OVERNIGHT_DATA_DIR, global.data_dir.as_ref().map(|path| path.display().to_string())),
        (name::OVERNIGHT_PROVIDER, global.provider.clone()),
        (
            name::LOG_LEVEL,
            match global.verbose {
                // Quiet is without remarks; what failed is still said.
                0 => global.quiet.then(|| "error".to_owned()),
                1 => Some("info".to_owned()),
                _ => Some("debug".to_owned()),
            },
        ),
    ];
    let mut flags: Vec<_> =
        named.into_iter().filter_map(|(name, text)| Some((by_name(name)?, text?))).collect();
    for pair in &global.set {
        match pair.split_once('=') {
            Some((name, text)) => match by_name(name) {
                Some(setting) => flags.push((setting, text.to_owned())),
                None => troubles.push(unknown("setting", name, SETTINGS.iter().map(|setting| setting.name))),
            },
            None => troubles.push(Trouble::usage(format!("--set {pair}: take NAME=VALUE"))),
        }
    }
    flags
}

fn by_name(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn environment_value(
    setting: &'static Setting,
    environment: &BTreeMap<String, String>,
) -> Result<Option<(String, Origin)>, Trouble> {
    let direct = environment.get(setting.name).filter(|text| !text.is_empty());
    let file_name = format!("{}{FILE_SUFFIX}", setting.name);
    let file = environment.get(&file_name).filter(|text| setting.secret && !text.is_empty());
    match (direct, file) {
        (Some(_), Some(_)) => {
            Err(Trouble::config(format!("{} is set both directly and through {file_name}", setting.name))
                .fix("keep one of the two"))
        }
        (Some(text), None) => Ok(Some((text.clone(), Origin::Environment))),
        (None, Some(path)) => secret_file(&file_name, Path::new(path)).map(Some),
        (None, None) => Ok(None),
    }
}

fn secret_file(named_by: &str, path: &Path) -> Result<(String, Origin), Trouble> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Trouble::config(format!("{named_by} names {}, which can't be read", path.display()))
            .why(error.to_string())
    })?;
    Ok((text.trim_end_matches(['\r', '\n']).to_owned(), Origin::SecretFile(path.to_path_buf())))
}

fn unknown_variable(variable: &str) -> Option<Trouble> {
    let ours = OUR_PREFIXES.iter().any(|prefix| variable.starts_with(prefix));
    let base = variable.strip_suffix(FILE_SUFFIX).unwrap_or(variable);
    let known = by_name(variable).is_some() || by_name(base).is_some_and(|setting| setting.secret);
    // Variables of the command line's own, not settings.
    let reserved = ["OVERNIGHT_CONFIG"];
    (ours && !known && !reserved.contains(&variable))
        .then(|| unknown("environment variable", variable, SETTINGS.iter().map(|setting| setting.name)))
}

/// The configuration file: the one that is named, or the first that is there.
fn config_file(global: &Global, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = global.config.clone().or_else(|| environment.get("OVERNIGHT_CONFIG").map(PathBuf::from));
    named.or_else(|| {
        let home = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = home.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")));
        let user = home.map(|home| home.join("overnight/config.toml"));
        let places = user.into_iter().chain([PathBuf::from("/etc/overnight/config.toml")]);
        places.into_iter().find(|path| path.is_file())
    })
}

type FileValues = Vec<(&'static Setting, String, Origin)>;

fn file_values(path: &Path) -> Result<FileValues, Trouble> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Trouble::config(format!("can't read the configuration file {shown}")).why(error.to_string())
    })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Trouble::config(format!("{shown} isn't TOML")).why(without_its_text(&error, &text))
    })?;
    let mut values = FileValues::new();
    flatten("", &table, &mut |key, text| {
        let (base, is_file) = key.strip_suffix("_file").map_or((key, false), |base| (base, true));
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let secret = SETTINGS.iter().find(|setting| is_file && setting.secret && setting.key == base);
        match (setting, secret) {
            (Some(setting), _) => values.push((setting, text, Origin::File(path.to_path_buf()))),
            (None, Some(setting)) => {
                let (text, origin) = secret_file(key, Path::new(&text))?;
                values.push((setting, text, origin));
            }
            (None, None) => {
                let trouble = unknown("key", key, SETTINGS.iter().map(|setting| setting.key));
                return Err(trouble.why(format!("it stands in {shown}")));
            }
        }
        Ok(())
    })?;
    Ok(values)
}

/// What is wrong with a file, and where. The error's own words quote the line, which may hold a secret.
fn without_its_text(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map(|before| format!(" in line {}", before.matches('\n').count() + 1));
    format!("{}{}", error.message(), place.unwrap_or_default())
}

/// Every value of a table with its dotted key.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    found: &mut dyn FnMut(&str, String) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, found)?,
            toml::Value::String(text) => found(&key, text.clone())?,
            other => found(&key, other.to_string())?,
        }
    }
    Ok(())
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> Trouble {
    let trouble = Trouble::new(Exit::Config, format!("unknown {what} {name}"));
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= known.len() / 3 => {
            trouble.fix(format!("did you mean {known}?"))
        }
        _ => trouble.fix("overnight config show lists every setting"),
    }
}

#[cfg(test)]
mod tests;
