//! The tables and the picture of the README are those of the record that it names.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::format_push_string,
    clippy::unwrap_used,
    reason = "places in a picture and short texts; a panic in a test is a failed test"
)]

#[path = "../examples/record/picture.rs"]
mod picture;
#[path = "../examples/record/rows.rs"]
mod rows;
#[path = "../src/cmd/demo/svg.rs"]
mod svg;
#[path = "../examples/record/tables.rs"]
mod tables;
#[path = "../examples/record/text.rs"]
mod text;

use std::fs;
use std::path::Path;

use crate::rows::Record;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_readme_says_what_its_records_say() {
    let readme = read("README.md");
    let names = tables::named_records(&readme);
    assert!(!names.is_empty());
    for name in names {
        let record = Record::parse(&read(name)).unwrap();
        assert!(!record.rows.is_empty());
        let made = tables::put(&readme, name, &record).unwrap();
        let help = "cargo run -p outcore-cli --example record makes it so";
        assert!(made == readme, "the tables are not those of {name}: {help}");
        if name.ends_with(picture::OF) {
            let drawn = picture::draw(&record);
            assert!(drawn == read(picture::PATH), "nor is the picture: {help}");
        }
    }
}

const SMALL: &str = "\
# a machine
tight,100,50,read once,1,1.0,,,,,,,ok
tight,100,50,write once,1,2.0,,,,,,,ok
tight,100,50,outcore -m 1M,1,8.0,,,100,200,60,7,ok
tight,100,50,sort -u,1,40.0,,,,,,,ok
tight,100,50,mawk,1,3.0,,,,,,,killed
tight,100,50,gawk,1,,,,,,,,skipped: no gawk here
";

#[test]
fn ratios_are_of_runs_in_the_same_round_and_the_killed_are_said_to_be() {
    let record = Record::parse(SMALL).unwrap();
    let made = tables::put(
        "a<!-- made by examples/record from x-dedup.csv -->\nof yesterday<!-- end of what is made -->z",
        "y-dedup.csv",
        &record,
    )
    .unwrap();
    assert!(made.starts_with("a<!-- made by examples/record from y-dedup.csv -->\n"));
    assert!(made.ends_with("<!-- end of what is made -->z") && !made.contains("yesterday"));
    assert!(
        made.contains("`sort -u` takes 5.0 times as long as outcore,"),
        "{made}"
    );
    assert!(
        made.contains("outcore takes 2.0 times as long as reading"),
        "{made}"
    );
    assert!(made.contains("| `mawk '!seen[$0]++'` | killed |"), "{made}");
    assert!(made.contains("skipped: no gawk here"), "{made}");
    let picture = picture::draw(&record);
    assert!(picture.contains(">killed<") && !picture.contains("gawk"));
    // A wrong line is named.
    assert_eq!(Record::parse("a,b\n").unwrap_err(), "a,b");
}

const TEXT: &str = "\
# a machine
sort,100,,outcore sort,1,2.0,,,10,,,,ok
sort,100,,outcore sort -j1,1,1.0,,,10,,,,ok
sort,100,,sort -S 8G,1,3.0,,,10,,,,ok
count,100,,outcore count,1,4.0,,,10,,,,ok
count,100,,sort | uniq -c | sort -rn,1,2.0,,,10,,,,ok
sort-tight,100,50,read once,1,1.0,,,,,,,ok
sort-tight,100,50,write once,1,2.0,,,,,,,ok
sort-tight,100,50,outcore sort --memory 1M,1,12.0,,,100,200,60,7,ok
sort-tight,100,50,DuckDB,1,3.0,,,,,,,killed
";

#[test]
fn what_is_lost_is_said_as_what_is_won() {
    let record = Record::parse(TEXT).unwrap();
    let both = "<!-- made by examples/record from x-dedup.csv -->\na<!-- end of what is made -->\
                <!-- made by examples/record from x-text.csv -->\nb<!-- end of what is made -->z";
    let made = tables::put(both, "y-text.csv", &record).unwrap();
    for said in [
        "from x-dedup.csv -->\na<!--",
        "`outcore sort` is 1.5 times as fast as `sort -S 8G`.",
        "`sort \\| uniq -c \\| sort -rn` is 2.0 times as fast as `outcore count`.",
        "takes 2.0 times as long as the disk takes for two reads and two writes.",
        "| DuckDB | killed |",
    ] {
        assert!(made.contains(said), "{said}: {made}");
    }
    assert!(tables::put("nothing", "y-text.csv", &record).is_none());
}
