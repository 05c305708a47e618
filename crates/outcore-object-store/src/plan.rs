//! Which requests a list of ranges takes: ranges that are close together become one, and long ones are cut.

use std::ops::Range;

/// One request, and which of the ranges have bytes in it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) bytes: Range<u64>,
    /// The places of the ranges in the list.
    pub(crate) ranges: Vec<usize>,
}

/// Returns the requests for ranges that may overlap: as few as there can be of at most `bytes_max`
/// each, without more than `gap_bytes` between two bytes that are wanted. They do not overlap, and ascend.
pub(crate) fn requests(ranges: &[Range<u64>], gap_bytes: u64, bytes_max: u64) -> Vec<Request> {
    // A request has at least one byte.
    let bytes_max = bytes_max.max(1);
    let mut order: Vec<_> = (0..).zip(ranges.iter()).collect();
    order.sort_unstable_by_key(|(_place, range)| range.start);
    let mut requests: Vec<Request> = Vec::new();
    for (place, range) in order {
        // The first byte that is in no request. The last one has all wanted bytes before its end that
        // are behind the start of this range, since starts ascend.
        let mut at = range.start;
        if let Some(Request { bytes: last, .. }) = requests.last_mut() {
            at = at.max(last.end.min(range.end));
            let end_max = last.start.saturating_add(bytes_max);
            if at < range.end && at < end_max && at <= last.end.saturating_add(gap_bytes) {
                at = range.end.min(end_max);
                last.end = at;
            }
        }
        while at < range.end {
            let end = range.end.min(at.saturating_add(bytes_max));
            requests.push(Request {
                bytes: at..end,
                ranges: Vec::new(),
            });
            at = end;
        }
        let first = requests.partition_point(|request| request.bytes.end <= range.start);
        for request in requests.iter_mut().skip(first) {
            if request.bytes.start < range.end {
                request.ranges.push(place);
            }
        }
    }
    requests
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "for tests: an overflow is a failed test"
)]
mod tests {
    use super::*;

    fn bytes(requests: &[Request]) -> Vec<Range<u64>> {
        let bytes = requests.iter().map(|request| request.bytes.clone());
        bytes.collect()
    }

    #[test]
    fn ranges_that_are_near_are_one_request() {
        let found = requests(&[50..60, 0..10, 14..20, 15..16, 31..32], 10, 30);
        assert_eq!(bytes(&found), [0..20, 31..32, 50..60]);
        assert_eq!(found[0].ranges, [1, 2, 3]);
        assert_eq!(found[1].ranges, [4]);
    }

    #[test]
    fn a_range_is_cut_where_a_request_would_be_too_long() {
        let found = requests(&[0..20, 20..50, 60..150, 70..80], 10, 40);
        assert_eq!(bytes(&found), [0..40, 40..80, 80..120, 120..150]);
        let ranges: Vec<_> = found.iter().map(|request| &request.ranges[..]).collect();
        assert_eq!(ranges, [&[0, 1][..], &[1, 2, 3], &[2], &[2]]);
    }

    /// Returns the fewest requests, found byte by byte: each begins at the first byte that is in none,
    /// and is as long as it can be.
    fn fewest(ranges: &[Range<u64>], gap: u64, most: u64) -> usize {
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let wanted = |byte: &u64| ranges.iter().any(|range| range.contains(byte));
        let (mut count, mut request) = (0, 0..0);
        for byte in (0..end).filter(wanted) {
            if count == 0 || byte > request.end + gap || byte >= request.start + most {
                (count, request.start) = (count + 1, byte);
            }
            request.end = byte + 1;
        }
        count
    }

    #[test]
    fn random_ranges_take_the_fewest_requests_and_each_byte_is_in_one() {
        for seed in 0..300 {
            let mut random = testkit::Random::new(seed);
            let (gap, most) = (random.below_u64(100), 1 + random.below_u64(1000));
            let ranges: Vec<_> = (0..random.below(60))
                .map(|_| {
                    let start = random.below_u64(5000);
                    let bits = random.below(11);
                    start..start + 1 + random.below_u64(1 << bits)
                })
                .collect();
            let found = requests(&ranges, gap, most);
            assert_eq!(found.len(), fewest(&ranges, gap, most), "seed {seed}");
            for pair in found.windows(2) {
                assert!(pair[0].bytes.end <= pair[1].bytes.start, "seed {seed}");
            }
            let mut lens = vec![0; ranges.len()];
            for request in &found {
                let len = request.bytes.end - request.bytes.start;
                assert!((1..=most).contains(&len), "seed {seed}");
                for place in &request.ranges {
                    let start = ranges[*place].start.max(request.bytes.start);
                    let end = ranges[*place].end.min(request.bytes.end);
                    assert!(start < end, "seed {seed}");
                    lens[*place] += end - start;
                }
            }
            let expected = ranges.iter().map(|range| range.end - range.start);
            assert!(lens.into_iter().eq(expected), "seed {seed}");
        }
    }
}
