//! The first pages that readers see: links of the documents have a target, and pictures load
//! outside of the repository, too.

use std::fs;
use std::path::{Path, PathBuf};

/// Documents that link to files of the repository.
const DOCUMENTS: [&str; 16] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/coming-from.md",
    "docs/glossary.md",
    "docs/performance.md",
    "docs/python.md",
    "docs/records/past-memory-2026-11.md",
    "docs/records/restructuring-2026-11.md",
    "docs/reliability.md",
    "docs/safety.md",
    "crates/outcore-arrow/README.md",
    "crates/outcore-cli/README.md",
    "crates/outcore-object-store/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns each link of a text, as `](address)`, and whether an exclamation mark precedes it.
fn links(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.match_indices("](").map(|(at, _)| {
        let address = text[at + 2..].split([')', ' ']).next().unwrap();
        let line = text[..at].rsplit("\n\n").next().unwrap();
        (
            line.rfind('[')
                .is_some_and(|open| line[..open].ends_with('!')),
            address,
        )
    })
}

/// Returns the links of a document to missing files, and pictures of the front page that load only
/// in the repository.
fn broken(document: &str, text: &str, is_file: impl Fn(&Path) -> bool) -> Vec<String> {
    let pictures = format!("{}/raw/HEAD/", env!("CARGO_PKG_REPOSITORY"));
    let folder = Path::new(document).parent().unwrap();
    let mut found = Vec::new();
    for (is_picture, address) in links(text) {
        let file = match address.strip_prefix(&*pictures) {
            Some(file) => PathBuf::from(file),
            None if is_picture && document == "README.md" => {
                found.push(format!(
                    "{document}: {address} does not start with {pictures}"
                ));
                continue;
            }
            None if address.contains("://") => continue,
            None => folder.join(address.split('#').next().unwrap()),
        };
        if !address.starts_with('#') && !is_file(&file) {
            found.push(format!("{document}: {address} is not there"));
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file_and_the_first_pictures_are_seen_from_anywhere() {
    let found: Vec<_> = DOCUMENTS
        .iter()
        .flat_map(|document| {
            let text = fs::read_to_string(root().join(document)).unwrap();
            broken(document, &text, |file| root().join(file).exists())
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn planted_links_are_found() {
    let there = |file: &Path| file == Path::new("docs/a.svg") || file == Path::new("docs/a.md");
    let broken = |document, text: &str| broken(document, text, there).len();
    let repository = env!("CARGO_PKG_REPOSITORY");
    assert_eq!(broken("README.md", "[a](docs/a.md#part), [b](#part)"), 0);
    assert_eq!(
        broken("docs/b.md", "![a](a.svg) [a](a.md) [c](https://c)"),
        0
    );
    assert_eq!(
        broken(
            "README.md",
            &format!("![a](b)\n![a\nb]({repository}/raw/HEAD/docs/a.svg)")
        ),
        1
    );
    assert_eq!(broken("README.md", "![a](docs/a.svg)"), 1);
    assert_eq!(broken("README.md", "[b](docs/b.md)"), 1);
    assert_eq!(broken("docs/b.md", "[a](docs/a.md)"), 1);
    assert_eq!(
        broken(
            "README.md",
            &format!("![a]({repository}/raw/HEAD/docs/b.svg)")
        ),
        1
    );
}
