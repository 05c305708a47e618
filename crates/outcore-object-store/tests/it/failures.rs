//! Requests that fail: what may pass is made again, all else is an error that says what and where.

use std::io;

use outcore::{ErrorKind, SealedVec};
use outcore_object_store::Store;

use crate::unsteady::Fault;
use crate::{TempFile, are_squares, hasty, put_numbers, put_squares, store_with};

/// Faults after which the same request may work.
const PASSING: [Fault; 5] = [
    Fault::Throttled,
    Fault::Reset,
    Fault::Torn,
    Fault::Short,
    Fault::Endless,
];

fn is_right(squares: &SealedVec<u64>) -> bool {
    // None in the block of another, nor in the next one.
    let wanted: Vec<_> = (0..squares.len()).step_by(5003).collect();
    are_squares(&squares.gather(&wanted).unwrap(), &wanted)
}

/// Returns the kind of answer that is in an error.
fn answer(refused: &outcore::Error) -> Option<io::ErrorKind> {
    refused.io_error().map(io::Error::kind)
}

fn open(store: &Store) -> outcore::Result<SealedVec<u64>> {
    SealedVec::<u64>::open_from(store.object("squares"))
}

#[test]
fn what_may_pass_is_tried_again_wherever_it_happens() {
    let (store, unsteady) = store_with(hasty().gap_bytes(0));
    put_squares(&store, 500_000, "squares");
    for fault in PASSING {
        for before in 0..12 {
            let clean = store.requests();
            assert!(is_right(&open(&store).unwrap()));
            let clean = store.requests() - clean;
            let faults = [None].repeat(before).into_iter().chain([Some(fault); 2]);
            unsteady.fail(faults);
            let made = store.requests();
            assert!(is_right(&open(&store).unwrap()));
            assert_eq!(
                store.requests() - made,
                clean + 2,
                "{fault:?} after {before}"
            );
        }
    }
}

#[test]
fn what_does_not_pass_is_an_error_with_the_number_of_attempts() {
    let (store, unsteady) = store_with(hasty());
    put_squares(&store, 500_000, "squares");
    for fault in PASSING {
        unsteady.fail([Some(fault); 6]);
        let before = store.requests();
        let refused = open(&store).unwrap_err();
        assert_eq!(
            (refused.kind(), store.requests() - before),
            (ErrorKind::Io, 6)
        );
        let expected = match fault {
            Fault::Short => io::ErrorKind::UnexpectedEof,
            Fault::Endless => io::ErrorKind::InvalidData,
            Fault::Reset => io::ErrorKind::ConnectionReset,
            _ => io::ErrorKind::Other,
        };
        assert_eq!(answer(&refused), Some(expected), "{refused}");
        let message = refused.to_string();
        assert!(message.contains("object squares"), "{message}");
        assert!(message.contains("the last of 6 attempts"), "{message}");

        unsteady.fail([]);
        let squares = open(&store).unwrap();
        unsteady.fail([Some(fault); 6]);
        let refused = squares.get(7).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
        unsteady.fail([]);
        assert!(is_right(&squares));
    }
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let (store, unsteady) = store_with(hasty());
    let refused = open(&store).unwrap_err();
    assert_eq!(store.requests(), 1);
    assert_eq!(answer(&refused), Some(io::ErrorKind::NotFound), "{refused}");
    put_squares(&store, 1000, "squares");
    let squares = open(&store).unwrap();
    unsteady.fail([Some(Fault::Gone)]);
    let before = store.requests();
    assert!(squares.get(7).is_err());
    assert_eq!(store.requests() - before, 1);
}

#[test]
fn bytes_that_changed_on_the_way_are_an_error_that_names_the_block() {
    let (store, unsteady) = store_with(hasty());
    put_squares(&store, 500_000, "squares");
    let squares = open(&store).unwrap();
    for before in 0..2 {
        unsteady.fail(
            [None]
                .repeat(before)
                .into_iter()
                .chain([Some(Fault::Flipped)]),
        );
        let refused = squares.get(400_000).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        let part = ["page 0 of its table", "block 195 of 245"][before];
        assert!(refused.to_string().contains(part), "{refused}");
    }
    assert!(is_right(&squares));
}

#[test]
fn an_object_that_was_replaced_is_an_error_until_it_is_opened_again() {
    let (store, _unsteady) = store_with(hasty());
    put_squares(&store, 100_000, "squares");
    let squares = open(&store).unwrap();
    assert_eq!(squares.get(7).unwrap(), 49);
    // Of the same length.
    put_numbers(&store, 100_000, "squares");
    for index in [7, 8, 99_999] {
        let refused = squares.get(index).unwrap_err();
        let replaced = io::ErrorKind::StaleNetworkFileHandle;
        assert_eq!(answer(&refused), Some(replaced), "{refused}");
    }
    assert_eq!(open(&store).unwrap().get(7).unwrap(), 7);
}

#[test]
fn a_client_that_panics_is_an_error_of_the_read() {
    let (store, unsteady) = store_with(hasty());
    put_squares(&store, 100_000, "squares");
    let squares = open(&store).unwrap();
    unsteady.fail([Some(Fault::Panic)]);
    let refused = squares.get(7).unwrap_err();
    assert!(refused.to_string().contains("given up"), "{refused}");
    assert!(is_right(&squares));
}

#[test]
fn a_store_without_ranges_from_the_end_is_asked_for_the_length() {
    let (store, unsteady) = store_with(hasty());
    put_squares(&store, 100_000, "squares");
    unsteady.fail([Some(Fault::NoSuffix)]);
    let before = store.requests();
    let squares = open(&store).unwrap();
    assert_eq!(store.requests() - before, 3);
    assert!(is_right(&squares));
}

#[test]
fn what_is_no_sealed_file_is_refused() {
    let (store, _unsteady) = store_with(hasty());
    let file = TempFile::new();
    for bytes in [vec![], b"short".to_vec(), vec![0; 100_000]] {
        std::fs::write(&file.0, &bytes).unwrap();
        store.upload(&file.0, "squares").unwrap();
        assert!(open(&store).is_err(), "{} bytes", bytes.len());
    }
    assert!(store.upload("no such file", "x").is_err());
}
