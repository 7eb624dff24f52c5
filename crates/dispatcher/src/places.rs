//! Where addresses are, by a MaxMind-format database.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use alba::Locality;
use arc_swap::ArcSwap;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

/// A database that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("read the MaxMind database {path}: {source}; is it a country or city database?")]
pub struct PlacesError {
    path: String,
    source: MaxMindDbError,
}

/// A database, read anew when its file changes.
#[derive(Debug)]
pub(crate) struct Places {
    path: PathBuf,
    database: ArcSwap<Database>,
}

#[derive(Debug)]
struct Database {
    reader: Reader<Vec<u8>>,
    modified: Option<SystemTime>,
}

/// What is read of a record: GeoIP2's names.
#[derive(Debug, Deserialize)]
struct Record<'r> {
    #[serde(borrow)]
    continent: Option<Continent<'r>>,
    country: Option<Division<'r>>,
    #[serde(default)]
    subdivisions: Vec<Division<'r>>,
}

#[derive(Debug, Deserialize)]
struct Continent<'r> {
    code: Option<&'r str>,
}

#[derive(Debug, Deserialize)]
struct Division<'r> {
    iso_code: Option<&'r str>,
}

impl Places {
    pub(crate) fn open(path: &Path) -> Result<Self, PlacesError> {
        Ok(Self {
            path: path.to_owned(),
            database: ArcSwap::from_pointee(read(path)?),
        })
    }

    /// Reads the file again if it has changed. A broken one is logged, and the old one stays in use.
    pub(crate) fn reload(&self) {
        if modified(&self.path) == self.database.load().modified {
            return;
        }
        match read(&self.path) {
            Ok(database) => {
                self.database.store(Arc::new(database));
                tracing::info!(path = %self.path.display(), "MaxMind database read again");
            }
            Err(error) => {
                tracing::warn!(%error, "changed database can't be used; the old one stays");
            }
        }
    }

    /// Continent, country and first subdivision by their codes; `None` for an address that nobody knows.
    pub(crate) fn locate(&self, address: IpAddr) -> Option<Locality> {
        let database = self.database.load();
        let found = database.reader.lookup(address).ok()?;
        let record: Record<'_> = found.decode().ok()??;
        let code = |code: Option<&str>| code.unwrap_or_default().to_owned();
        let place = Locality {
            region: code(record.continent.and_then(|continent| continent.code)),
            zone: code(record.country.and_then(|country| country.iso_code)),
            sub_zone: code(record.subdivisions.first().and_then(|first| first.iso_code)),
        };
        (place != Locality::default()).then_some(place)
    }
}

fn read(path: &Path) -> Result<Database, PlacesError> {
    // Looked at first: a file that changes while it is read is read again.
    let modified = modified(path);
    let reader = Reader::open_readfile(path).map_err(|source| PlacesError {
        path: path.display().to_string(),
        source,
    })?;
    Ok(Database { reader, modified })
}

fn modified(path: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of the format (MaxMind DB file format specification 2.0, "Data field format").
    enum Value<'v> {
        Text(&'v str),
        Number(u8, u8),
        Map(Vec<(&'v str, Self)>),
        List(Vec<Self>),
    }
    use Value::{List, Map, Number, Text};

    impl Value<'_> {
        fn write(&self, out: &mut Vec<u8>) {
            let short = |length: usize| u8::try_from(length).unwrap();
            match self {
                Text(text) => {
                    assert!(text.len() < 29);
                    out.push(2 << 5 | short(text.len()));
                    out.extend_from_slice(text.as_bytes());
                }
                // Types above 7 are told in a byte of their own.
                Number(kind @ 8.., value) => out.extend_from_slice(&[1, kind - 7, *value]),
                Number(kind, value) => out.extend_from_slice(&[kind << 5 | 1, *value]),
                Map(entries) => {
                    out.push(7 << 5 | short(entries.len()));
                    for (key, value) in entries {
                        Text(key).write(out);
                        value.write(out);
                    }
                }
                List(items) => {
                    out.extend_from_slice(&[short(items.len()), 11 - 7]);
                    items.iter().for_each(|item| item.write(out));
                }
            }
        }
    }

    /// A database that knows `record` of every IPv4 address below 128.0.0.0, and nothing of the others.
    fn database(record: &Value<'_>) -> Vec<u8> {
        // One node: a clear first bit leads to the data's beginning, a set one nowhere.
        let mut out = vec![0, 0, 1 + 16, 0, 0, 1];
        out.extend_from_slice(&[0; 16]);
        record.write(&mut out);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let (u16, u32, u64) = (5, 6, 9);
        Map(vec![
            ("node_count", Number(u32, 1)),
            ("record_size", Number(u16, 24)),
            ("ip_version", Number(u16, 4)),
            ("database_type", Text("Test")),
            ("languages", List(Vec::new())),
            ("binary_format_major_version", Number(u16, 2)),
            ("binary_format_minor_version", Number(u16, 0)),
            ("build_epoch", Number(u64, 1)),
            ("description", Map(Vec::new())),
        ])
        .write(&mut out);
        out
    }

    fn city(country: &'static str) -> Value<'static> {
        let code = |code| Map(vec![("iso_code", Text(code))]);
        Map(vec![
            ("continent", Map(vec![("code", Text("EU"))])),
            ("country", code(country)),
            ("subdivisions", List(vec![code("BE"), code("X")])),
        ])
    }

    /// A file of its own, which is gone when the test ends.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("dalbi-places-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    fn place(region: &str, zone: &str, sub_zone: &str) -> Locality {
        let [region, zone, sub_zone] = [region, zone, sub_zone].map(str::to_owned);
        Locality {
            region,
            zone,
            sub_zone,
        }
    }

    #[test]
    fn users_are_where_the_database_says() {
        let file = File::new("city", &database(&city("DE")));
        let places = Places::open(&file.0).unwrap();
        let at = |address: &str| places.locate(address.parse().unwrap());
        assert_eq!(at("10.0.0.1"), Some(place("EU", "DE", "BE")));
        assert_eq!(at("192.0.2.1"), None);
        assert_eq!(at("2001:db8::1"), None);
    }

    #[test]
    fn a_country_database_has_fewer_parts_and_others_none() {
        let country = Map(vec![("country", Map(vec![("iso_code", Text("DE"))]))]);
        let file = File::new("country", &database(&country));
        let places = Places::open(&file.0).unwrap();
        assert_eq!(
            places.locate([10, 0, 0, 1].into()),
            Some(place("", "DE", ""))
        );
        let network = Map(vec![("autonomous_system_number", Number(6, 64))]);
        let file = File::new("network", &database(&network));
        assert_eq!(
            Places::open(&file.0).unwrap().locate([10, 0, 0, 1].into()),
            None
        );
    }

    #[test]
    fn a_changed_file_is_read_again_unless_it_is_broken() {
        let file = File::new("changed", &database(&city("DE")));
        let places = Places::open(&file.0).unwrap();
        let change = |bytes: &[u8], seconds: u64| {
            std::fs::write(&file.0, bytes).unwrap();
            let written = std::fs::File::options().append(true).open(&file.0).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            written.set_modified(at).unwrap();
            places.reload();
            places.locate([10, 0, 0, 1].into()).unwrap().zone
        };
        assert_eq!(change(&database(&city("FR")), 1), "FR");
        assert_eq!(change(b"not a database", 2), "FR");
        assert_eq!(change(&database(&city("IT")), 3), "IT");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Places::open(Path::new("/nowhere/places.mmdb")).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/places.mmdb"),
            "{error}"
        );
    }
}
