//! Says which node of a cluster each client connects to.
//!
//! The members of a room go to the nodes in turn, and each room begins with another node: so a room of two or more has
//! members on different nodes, and the nodes have equally many clients and publishers.

/// The node, of `nodes`, of the member of `room` that sits at `seat`.
#[inline]
pub(crate) fn node(room: u32, seat: u32, nodes: u32) -> u32 {
    (room % nodes + seat % nodes) % nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_room_are_apart_and_nodes_have_equally_many() {
        for nodes in 1..5 {
            for seats in 2..5 {
                let mut clients = vec![0; nodes as usize];
                for room in 0..60 {
                    let mut here: Vec<_> = (0..seats).map(|seat| node(room, seat, nodes)).collect();
                    here.iter().for_each(|&node| clients[node as usize] += 1);
                    here.sort_unstable();
                    here.dedup();
                    assert_eq!(here.len() as u32, seats.min(nodes), "room {room} of {seats} on {nodes}");
                }
                assert!(clients.iter().all(|&count| count == clients[0]), "{clients:?}");
            }
        }
    }
}
