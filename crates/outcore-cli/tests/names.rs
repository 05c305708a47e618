//! Names of files with bytes in them that end lines.

mod support;

use std::collections::BTreeSet;
use std::fs;

use crate::support::{TestDir, failure, outcore};

/// Paths were joined with newlines and split again, so that one with a newline moved all that came
/// after it: of 300 files, one of them so named, the wrong ones were called repeats, with exit code
/// 0; of fewer than 256, one could not be read that was not there.
#[test]
fn a_newline_in_a_name_does_not_move_other_names() {
    for count in [3, 255, 256, 300] {
        let dir = TestDir::new(&format!("newline-{count}"));
        fs::create_dir(dir.path("in")).unwrap();
        let mut kept = BTreeSet::new();
        let mut repeats = BTreeSet::new();
        for number in 0..count {
            let odd = if number == 0 { "\nx" } else { "" };
            let name = format!("in/f{number:05}{odd}");
            // The last two are equal.
            let text = number.min(count - 2).to_string();
            dir.write(&name, text);
            if number + 1 < count {
                kept.insert(name);
            } else {
                repeats.insert(name);
            }
        }
        let run = |options: &[&str]| {
            let mut command = outcore(&["dedup", "-q", "--unit", "file", "-r", "in", "-d", "rest"]);
            command.current_dir(&dir.0).args(options).output().unwrap()
        };
        let refused = failure(&run(&[]));
        assert!(refused.contains("in/f00000\\nx"), "{count}: {refused}");
        assert!(refused.contains("-0"), "{count}: {refused}");
        assert_eq!(dir.names(), ["in"], "{count}");
        let names = |bytes: &[u8]| -> BTreeSet<String> {
            let text = std::str::from_utf8(bytes).unwrap();
            text.split_terminator('\0').map(str::to_owned).collect()
        };
        for options in [&["-0"][..], &["-0", "--test-index", "1", "--tmp", "."]] {
            if options.len() > 1 && dir.is_in_memory() {
                continue;
            }
            let output = run(options);
            assert!(output.status.success(), "{count}: {output:?}");
            assert_eq!(names(&output.stdout), kept, "{count}: {options:?}");
            let rest = fs::read(dir.path("rest")).unwrap();
            assert_eq!(names(&rest), repeats, "{count}: {options:?}");
        }
    }
}
