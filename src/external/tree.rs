//! A loser tree: finds the least head of many sorted inputs by one comparison for each level
//! instead of two.

/// No input.
const NONE: u32 = u32::MAX;

/// The inputs of a merge as a tournament: each node has the loser of the match there, and node 0
/// the winner of all.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<u32>,
}

impl Tree {
    /// Plays the matches of `count` inputs, at least one. `less` returns whether the first argument
    /// beats the second: it has to know which inputs have ended, and that of equal heads the first
    /// wins.
    pub(super) fn new(count: usize, mut less: impl FnMut(usize, usize) -> bool) -> Self {
        let mut nodes = vec![NONE; count.max(1)];
        for leaf in 0..count {
            let mut player = u32::try_from(leaf).unwrap_or(NONE);
            let mut node = leaf.midpoint(count);
            while node > 0 {
                let other = nodes[node];
                if other == NONE {
                    nodes[node] = player;
                    player = NONE;
                    break;
                }
                if less(other as usize, player as usize) {
                    nodes[node] = player;
                    player = other;
                }
                node /= 2;
            }
            if player != NONE {
                nodes[0] = player;
            }
        }
        Self { nodes }
    }

    /// Returns the input whose head is the least.
    pub(super) fn winner(&self) -> usize {
        self.nodes[0] as usize
    }

    /// Replays the matches of the winner, whose head has changed.
    #[inline]
    pub(super) fn replay(&mut self, mut less: impl FnMut(usize, usize) -> bool) {
        let mut player = self.nodes[0];
        let mut node = (player as usize).midpoint(self.nodes.len());
        while node > 0 {
            let other = self.nodes[node];
            if less(other as usize, player as usize) {
                self.nodes[node] = player;
                player = other;
            }
            node /= 2;
        }
        self.nodes[0] = player;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_inputs_is_merged_in_order() {
        for count in 1..20_usize {
            let inputs: Vec<Vec<usize>> = (0..count)
                .map(|input| (0..input * 3 % 7).map(|n| n * (input + 1) % 50).collect())
                .map(|mut input: Vec<usize>| {
                    input.sort_unstable();
                    input
                })
                .collect();
            let mut at = vec![0; count];
            let less = |at: &[usize], a: usize, b: usize| {
                let head = |input: usize| {
                    inputs[input]
                        .get(at[input])
                        .map_or((1, 0), |head| (0, *head))
                };
                (head(a), a) < (head(b), b)
            };
            let mut tree = Tree::new(count, |a, b| less(&at, a, b));
            let mut merged = Vec::new();
            while let Some(head) = inputs[tree.winner()].get(at[tree.winner()]) {
                merged.push((*head, tree.winner()));
                at[tree.winner()] += 1;
                tree.replay(|a, b| less(&at, a, b));
            }
            assert_eq!(merged.len(), inputs.iter().map(Vec::len).sum::<usize>());
            assert!(merged.is_sorted(), "{count}: {merged:?}");
        }
    }
}
