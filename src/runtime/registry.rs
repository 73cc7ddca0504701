//! Writer schemas by id: from a registry that speaks the Confluent API, or from a folder of `<id>.avsc` files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::event::Timestamp;

/// How long an unknown id is believed to be unknown, ms: garbage must not become traffic.
const UNKNOWN_MS: i64 = 60_000;
/// How many unknown ids are remembered at once.
const UNKNOWN_MAX: usize = 10_000;

/// Where schemas come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A registry's base address, and the credentials of basic authentication.
    Url {
        /// For Confluent `http://host:8081`, for Apicurio `http://host:8080/apis/ccompat/v7`.
        url: String,
        /// User and password.
        login: Option<(String, String)>,
        /// Longest wait for an answer.
        timeout: Duration,
    },
    /// A folder of `<id>.avsc` files.
    Directory(PathBuf),
}

/// A schema could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no schema with this id: the record is bad.
    #[error("schema id {0} is not known to the registry")]
    Unknown(u32),
    /// The schema is of another kind, or refers to others: records with it are bad.
    #[error("schema id {id} can't be used: {reason}")]
    Unsupported {
        /// The id.
        id: u32,
        /// Why.
        reason: &'static str,
    },
    /// The registry did not answer as it should: worth another try.
    #[error(
        "the schema registry at {url} does not answer: {reason}\n  hint: check `registry.url`, its login and the network"
    )]
    Unavailable {
        /// The address that was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A local file can't be read.
    #[error("schema file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A client with a cache; ids never change their schema.
#[derive(Debug)]
pub struct Registry {
    location: Location,
    agent: ureq::Agent,
    known: BTreeMap<u32, Arc<str>>,
    unknown: BTreeMap<u32, Timestamp>,
}

impl Registry {
    /// A client; nothing is asked yet.
    #[must_use]
    pub fn new(location: Location) -> Self {
        let timeout = match &location {
            Location::Url { timeout, .. } => Some(*timeout),
            Location::Directory(_) => None,
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(timeout)
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { location, agent, known: BTreeMap::new(), unknown: BTreeMap::new() }
    }

    /// The Avro schema with this id, as JSON text.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] and [`RegistryError::Unsupported`] are the record's fault, the others are trouble outside.
    pub fn schema(&mut self, id: u32, now: Timestamp) -> Result<Arc<str>, RegistryError> {
        if let Some(schema) = self.known.get(&id) {
            return Ok(Arc::clone(schema));
        }
        if self.unknown.get(&id).is_some_and(|asked| now.since(*asked) < UNKNOWN_MS) {
            return Err(RegistryError::Unknown(id));
        }
        let found = match &self.location {
            Location::Directory(folder) => read(folder.join(format!("{id}.avsc")), id),
            Location::Url { .. } => self.fetch(id),
        };
        match &found {
            Ok(schema) => {
                self.unknown.remove(&id);
                self.known.insert(id, Arc::clone(schema));
            }
            Err(RegistryError::Unknown(_) | RegistryError::Unsupported { .. }) => {
                if self.unknown.len() >= UNKNOWN_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(id, now);
            }
            Err(_) => {}
        }
        found
    }

    /// Registers an Avro schema under a subject and gives its id.
    ///
    /// # Errors
    /// If the registry refuses it or does not answer; a folder takes none.
    pub fn register(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let body = json!({"schema": schema, "schemaType": "AVRO"}).to_string();
        let (status, answer) = self.ask(&format!("subjects/{subject}/versions"), Some(&body))?;
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.filter(|_| status == 200).ok_or_else(|| self.unavailable(format!("status {status}: {answer}")))
    }

    fn fetch(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        let (status, answer) = self.ask(&format!("schemas/ids/{id}"), None)?;
        match status {
            200 => {}
            404 => return Err(RegistryError::Unknown(id)),
            _ => return Err(self.unavailable(format!("status {status}: {answer}"))),
        }
        let refuse = |reason| Err(RegistryError::Unsupported { id, reason });
        if answer.get("schemaType").and_then(Value::as_str).is_some_and(|kind| kind != "AVRO") {
            return refuse("it is no Avro schema");
        }
        if answer.get("references").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            return refuse("it refers to other schemas; register it with the types written out");
        }
        match answer.get("schema").and_then(Value::as_str) {
            Some(schema) => Ok(schema.into()),
            None => Err(self.unavailable("the answer holds no schema".to_owned())),
        }
    }

    fn unavailable(&self, reason: String) -> RegistryError {
        let url = match &self.location {
            Location::Url { url, .. } => url.clone(),
            Location::Directory(folder) => folder.display().to_string(),
        };
        RegistryError::Unavailable { url, reason }
    }

    /// Status and JSON of an answer; an answer that is no JSON counts as text.
    fn ask(&self, path: &str, body: Option<&str>) -> Result<(u16, Value), RegistryError> {
        let Location::Url { url, login, .. } = &self.location else {
            return Err(self.unavailable("a folder takes no requests".to_owned()));
        };
        let address = format!("{}/{path}", url.trim_end_matches('/'));
        let accept = "application/vnd.schemaregistry.v1+json, application/json";
        let answered = match body {
            Some(body) => {
                let mut request = self.agent.post(&address).header("Accept", accept);
                if let Some(login) = login {
                    request = request.header("Authorization", basic(login));
                }
                request.header("Content-Type", "application/vnd.schemaregistry.v1+json").send(body)
            }
            None => {
                let mut request = self.agent.get(&address).header("Accept", accept);
                if let Some(login) = login {
                    request = request.header("Authorization", basic(login));
                }
                request.call()
            }
        };
        let mut answer = answered.map_err(|error| self.unavailable(error.to_string()))?;
        let text = answer.body_mut().read_to_string().map_err(|error| self.unavailable(error.to_string()))?;
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((answer.status().as_u16(), json))
    }
}

fn read(path: PathBuf, id: u32) -> Result<Arc<str>, RegistryError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(RegistryError::Unknown(id)),
        Err(source) => Err(RegistryError::File { path, source }),
    }
}

/// The header of basic authentication.
fn basic((user, password): &(String, String)) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for chunk in format!("{user}:{password}").as_bytes().chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() { '=' } else { char::from(DIGITS[digit as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::{Location, Registry, RegistryError, basic};
    use crate::event::Timestamp;

    /// Answers so many requests as told and gives back their first lines and bodies.
    fn serve(answers: Vec<(u16, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/apis/ccompat/v7/", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let mut reader = BufReader::new(listener.accept().unwrap().0);
                let (mut line, mut length) = (String::new(), 0);
                reader.read_line(&mut line).unwrap();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if header.trim().is_empty() {
                        break;
                    }
                }
                let mut sent = vec![0; length];
                reader.read_exact(&mut sent).unwrap();
                asked.push(format!("{}{}", line, String::from_utf8(sent).unwrap()));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                write!(reader.get_mut(), "{head}{body}").unwrap();
            }
            asked
        });
        (url, thread)
    }

    fn client(url: &str) -> Registry {
        Registry::new(Location::Url { url: url.to_owned(), login: None, timeout: Duration::from_secs(5) })
    }

    #[test]
    fn a_schema_is_asked_for_once_and_an_unknown_id_once_a_minute() {
        let (url, thread) = serve(vec![
            (200, r#"{"schema":"\"string\""}"#),
            (404, r#"{"error_code":40403}"#),
            (200, r#"{"schema":"\"int\"","references":[]}"#),
        ]);
        let mut registry = client(&url);
        for _ in 0..3 {
            assert_eq!(&*registry.schema(7, Timestamp(0)).unwrap(), "\"string\"");
        }
        for now in [0, 59_999] {
            assert!(matches!(registry.schema(8, Timestamp(now)), Err(RegistryError::Unknown(8))));
        }
        assert_eq!(&*registry.schema(8, Timestamp(60_000)).unwrap(), "\"int\"");
        let asked = thread.join().unwrap();
        assert_eq!(asked[0].trim(), "GET /apis/ccompat/v7/schemas/ids/7 HTTP/1.1");
    }

    #[test]
    fn other_kinds_of_schema_and_trouble_are_told_apart() {
        let (url, thread) = serve(vec![
            (200, r#"{"schema":"{}","schemaType":"JSON"}"#),
            (200, r#"{"schema":"{}","references":[{"name":"x"}]}"#),
            (500, "down"),
        ]);
        let mut registry = client(&url);
        for id in [1, 2] {
            let refused = registry.schema(id, Timestamp(0));
            assert!(matches!(refused, Err(RegistryError::Unsupported { .. })), "{refused:?}");
        }
        let error = registry.schema(3, Timestamp(0)).unwrap_err().to_string();
        assert!(error.contains("status 500") && error.contains("hint"), "{error}");
        thread.join().unwrap();
        assert!(matches!(registry.schema(4, Timestamp(0)), Err(RegistryError::Unavailable { .. })));
    }

    #[test]
    fn a_schema_is_registered_under_its_subject() {
        let (url, thread) = serve(vec![(200, r#"{"id":41}"#)]);
        assert_eq!(client(&url).register("usage-value", "\"string\"").unwrap(), 41);
        let asked = thread.join().unwrap();
        assert!(asked[0].starts_with("POST /apis/ccompat/v7/subjects/usage-value/versions"));
        assert!(asked[0].contains(r#""schema":"\"string\"""#));
    }

    #[test]
    fn a_folder_serves_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("12.avsc"), "\"long\"").unwrap();
        let mut registry = Registry::new(Location::Directory(folder.path().to_owned()));
        assert_eq!(&*registry.schema(12, Timestamp(0)).unwrap(), "\"long\"");
        assert!(matches!(registry.schema(13, Timestamp(0)), Err(RegistryError::Unknown(13))));
    }

    #[test]
    fn basic_authentication_is_base64() {
        let header = |user: &str, password: &str| basic(&(user.to_owned(), password.to_owned()));
        assert_eq!(header("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(header("a", "b"), "Basic YTpi");
    }
}
