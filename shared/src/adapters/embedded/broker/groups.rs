//! What tansu's coordinator keeps of members that are gone, and what has to be forgotten for the others to go on.
//!
//! A leader that leaves while its group forms stays the leader: whoever joins next follows it, is told to wait for its
//! assignment, and waits for ever. A member that is missed while its group is formed is taken off the list, but keeps the
//! partitions that were assigned to it: nobody reads them again.

use tansu_storage::{GroupDetail, GroupState};

/// The group without what it keeps of members that are gone; none where it keeps nothing.
pub(super) fn forget_the_gone(group: &GroupDetail) -> Option<GroupDetail> {
    match &group.state {
        GroupState::Forming {
            protocol_type,
            protocol_name,
            leader: Some(leader),
        } if !group.members.contains_key(leader) => Some(GroupDetail {
            state: GroupState::Forming {
                protocol_type: protocol_type.clone(),
                protocol_name: protocol_name.clone(),
                leader: None,
            },
            ..group.clone()
        }),
        GroupState::Formed {
            protocol_type,
            protocol_name,
            leader,
            assignments,
        } if assignments.keys().any(|member| !group.members.contains_key(member)) => Some(GroupDetail {
            // Of an earlier generation are now all that are left, and so told to join again.
            generation_id: group.generation_id + 1,
            state: GroupState::Forming {
                protocol_type: Some(protocol_type.clone()),
                protocol_name: Some(protocol_name.clone()),
                leader: group.members.contains_key(leader).then(|| leader.clone()),
            },
            ..group.clone()
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use tansu_broker::coordinator::group::Coordinator as _;
    use tansu_sans_io::join_group_request::JoinGroupRequestProtocol;
    use tansu_sans_io::sync_group_request::SyncGroupRequestAssignment;
    use tansu_sans_io::{Body, ErrorCode, JoinGroupResponse};
    use tansu_storage::GroupMember;
    use url::Url;

    use super::*;
    use crate::adapters::embedded::broker::Groups;
    use crate::adapters::embedded::broker::gate::Gate;
    use crate::adapters::embedded::broker::log_file::LogFile;

    fn group(members: &[&str], state: GroupState) -> GroupDetail {
        let member = |name: &&str| {
            let member = GroupMember {
                join_response: tansu_sans_io::join_group_response::JoinGroupResponseMember::default().member_id((*name).to_owned()),
                last_contact: None,
            };
            ((*name).to_owned(), member)
        };
        GroupDetail {
            members: members.iter().map(member).collect(),
            generation_id: 7,
            state,
            ..GroupDetail::default()
        }
    }

    fn forming(leader: Option<&str>) -> GroupState {
        GroupState::Forming {
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            leader: leader.map(str::to_owned),
        }
    }

    fn formed(leader: &str, assigned: &[&str]) -> GroupState {
        GroupState::Formed {
            protocol_type: "consumer".into(),
            protocol_name: "range".into(),
            leader: leader.into(),
            assignments: assigned.iter().map(|member| ((*member).to_owned(), Bytes::new())).collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn only_what_is_kept_of_the_gone_is_forgotten() {
        for (members, state, expected) in [
            (&["a", "b"][..], forming(Some("a")), None),
            (&["b"], forming(None), None),
            (&["b"], forming(Some("a")), Some((7, forming(None)))),
            (&[], forming(Some("a")), Some((7, forming(None)))),
            (&["a", "b"], formed("a", &["a", "b"]), None),
            // It joined after the others were given their parts.
            (&["a", "b"], formed("a", &["a"]), None),
            (&["b"], formed("a", &["a", "b"]), Some((8, forming(None)))),
            (&["a"], formed("a", &["a", "b"]), Some((8, forming(Some("a"))))),
        ] {
            let mended = forget_the_gone(&group(members, state.clone()));
            assert_eq!(
                mended.as_ref().map(|group| (group.generation_id, group.state.clone())),
                expected,
                "{members:?} {state:?}"
            );
            // Once is enough.
            assert_eq!(mended.as_ref().and_then(forget_the_gone), None);
            assert!(mended.is_none_or(|group| group.members.len() == members.len()));
        }
    }

    async fn join(groups: &mut Groups, member: &str) -> JoinGroupResponse {
        let protocols = [JoinGroupRequestProtocol::default().name("range".into()).metadata(Bytes::from_static(b"m"))];
        let joined = groups.join(Some("test"), "g", 6_000, Some(60_000), member, None, "consumer", Some(&protocols), None);
        match joined.await {
            Ok(Body::JoinGroupResponse(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// The error that the group answers with.
    async fn sync(groups: &mut Groups, joined: &JoinGroupResponse) -> i16 {
        let assignments = [SyncGroupRequestAssignment::default()
            .member_id(joined.member_id.clone())
            .assignment(Bytes::from_static(b"all"))];
        let synced = groups.sync(
            "g",
            joined.generation_id,
            &joined.member_id,
            None,
            Some("consumer"),
            Some("range"),
            Some(&assignments),
        );
        match synced.await {
            Ok(Body::SyncGroupResponse(response)) => response.error_code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_member_that_joins_while_the_leader_leaves_leads_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("event_log.db");
        let file = LogFile::open(&path).await.expect("a file");
        let advertised = Url::parse("tcp://127.0.0.1:1").expect("a URL");
        let gate = Gate::open(&path, "embedded", 1, advertised, file, tracing::Dispatch::none())
            .await
            .expect("a gate");
        let mut groups = gate.groups();
        let none = i16::from(ErrorCode::None);

        let first = join(&mut groups, "").await.member_id;
        let first = join(&mut groups, &first).await;
        assert_eq!((first.error_code, sync(&mut groups, &first).await), (none, none));
        // It has a name now, but no part yet.
        let second = join(&mut groups, "").await.member_id;
        groups.leave("g", Some(&first.member_id), None).await.expect("it may leave");

        let second = join(&mut groups, &second).await;
        assert_eq!((second.error_code, &second.leader), (none, &second.member_id));
        assert_eq!(sync(&mut groups, &second).await, none);
    }
}
