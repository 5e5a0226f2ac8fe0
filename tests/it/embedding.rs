//! Goal: a program that embeds the server answers events of its own, and its clients see what clients of Socket.IO expect.
//! Method: applications of a few lines, spoken to by clients with either parser.

use crate::support::{
    Client, Heard, NativeClient, RawSocket, SocketIoClient, TestServer, binary, eventually, handshake, http_get,
};
use roomcast::app::{App, Builder};
use roomcast::hub::{Action, Selection};
use roomcast::protocol::Wire;
use roomcast::protocol::arguments::{Argument, Arguments, Binary};
use roomcast::protocol::refusal::Refusal;
use roomcast::session::{Answer, Call, Namespace, Rejection};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The two forms in which a Socket.IO client may speak.
const PARSERS: [bool; 2] = [false, true];

fn application(describe: impl FnOnce(Namespace) -> Namespace) -> Builder {
    App::builder().namespace("/", describe)
}

async fn connect(server: &TestServer, packed: bool) -> SocketIoClient {
    let mut client = open(server, packed).await;
    client.enter("/", Value::Null).await.unwrap();
    client
}

async fn open(server: &TestServer, packed: bool) -> SocketIoClient {
    let mut client = SocketIoClient::open(server, "&colour=red", None).await.unwrap();
    client.packed = packed;
    client
}

/// Joins the rooms that the arguments name.
fn join(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let rooms: Vec<String> = call.args()?;
    rooms.iter().try_for_each(|room| call.join(room).map(drop))?;
    Answer::json(&call.rooms())
}

#[tokio::test]
async fn whoever_may_not_enter_hears_why_and_nothing_else() {
    for packed in PARSERS {
        let server = TestServer::embedded(application(|namespace| {
            namespace.on_connect(|call| {
                call.join("hall")?;
                call.emit("greeting", call.arguments()?)?;
                call.to(["hall"]).with_sender().emit("entered", &Arguments::none())?;
                if call.arg::<Value>(0)?["word"] == "friend" {
                    return Ok(());
                }
                Err(Rejection::new("who are you?").with(json!({"code": 401})))
            })
        }));
        let mut client = open(&server, packed).await;
        for auth in [Value::Null, json!({"word": "foe"})] {
            let refused = client.enter("/", auth).await;
            assert_eq!(refused, Err(json!({"message": "who are you?", "data": {"code": 401}})));
        }
        assert_eq!(server.metric("roomcast_rooms", "").await, 0, "a refused client left its room");
        client.enter("/", json!({"word": "friend"})).await.unwrap();
        assert_eq!(client.heard().await, Heard::new("greeting", json!({"word": "friend"})));
        assert_eq!(client.heard().await.event, "entered");
        assert_eq!(client.kept().count(), 0, "what was said to a refused client came after all");
    }
}

#[tokio::test]
async fn a_handler_answers_with_arguments_of_any_kind() {
    for packed in PARSERS {
        let server = TestServer::embedded(application(|namespace| {
            namespace
                .on("sum", |call| {
                    let (a, b): (u32, u32) = call.args()?;
                    Answer::json(&(a + b))
                })
                .on("back", |call| Ok(Answer::Args(call.arguments()?)))
                .on("reverse", |call| {
                    let mut all: Vec<Argument> = call.args()?;
                    all.reverse();
                    Ok(Answer::Args(Arguments::of(&all)?))
                })
                .on("size", |call| Answer::json(&call.arg::<Binary>(0)?.0.len()))
                .on("say", |call| {
                    let arguments = call.arguments()?;
                    call.emit("said", arguments)?;
                    Ok(Answer::None)
                })
        }));
        let mut client = connect(&server, packed).await;
        assert_eq!(client.call_for_all("sum", &[json!(2), json!(3)]).await, [json!(5)]);
        let args = [json!(1), binary(b"one"), json!({"deep": [binary(b"two")]})];
        assert_eq!(client.call_for_all("back", &args).await, args);
        let mut reversed = args.clone();
        reversed.reverse();
        assert_eq!(client.call_for_all("reverse", &args).await, reversed);
        assert_eq!(client.call("size", binary(&[0; 300])).await, Ok(json!(300)));
        client.emit("say", &args).await;
        assert_eq!(client.heard().await, Heard { event: "said".into(), args: args.to_vec() });
        for (event, arg) in [("sum", json!("two")), ("size", json!(7)), ("nothing of that name", json!(1))] {
            assert!(client.call(event, arg).await.is_err(), "{event}");
        }
        // The built-in vocabulary is still there.
        assert_eq!(client.call("join", json!({"room": "r"})).await.unwrap()["members"], 1);
    }
}

#[tokio::test]
async fn a_client_is_asked_and_the_answer_comes_or_its_time_is_up() {
    for packed in PARSERS {
        let server = TestServer::embedded(application(|namespace| {
            namespace.on("ask me", |call| {
                let arguments = call.arguments()?;
                let answer = call.emit_with_ack("question", arguments, Duration::from_millis(400))?;
                let later = call.defer()?;
                call.spawn(async move {
                    let heard = answer.await.ok().and_then(|answer| answer.parse::<Vec<Argument>>().ok());
                    later.answer(Answer::json(&heard));
                });
                Ok(Answer::None)
            })
        }));
        let mut client = connect(&server, packed).await;
        let id = client.ask("/", "ask me", binary(b"why?")).await;
        assert_eq!(client.heard().await, Heard::new("question", binary(b"why?")));
        client.reply(vec![json!("because"), binary(b"of that")]).await;
        assert_eq!(client.answer(id).await, Ok(json!(["because", binary(b"of that")])));
        let began = tokio::time::Instant::now();
        assert_eq!(client.call("ask me", json!("again?")).await, Ok(Value::Null));
        assert!(began.elapsed() < Duration::from_secs(5), "the time-out waited for something else");
    }
}

#[tokio::test]
async fn a_broadcast_reaches_rooms_everybody_or_one_with_exceptions() {
    let server = TestServer::embedded(application(|namespace| {
        namespace.without_vocabulary().on("join", join).on("say", |call| {
            let (rooms, except, with_sender): (Vec<String>, Vec<String>, bool) = call.args()?;
            let to = call.to(rooms).except(except);
            let to = if with_sender { to.with_sender() } else { to };
            to.emit("said", &Arguments::none())?;
            Ok(Answer::raw("true"))
        })
    }));
    let mut all = Vec::new();
    for (packed, rooms) in [(false, ["a", "x"]), (true, ["a", "y"]), (false, ["b", "y"]), (true, ["b", "x"])] {
        let mut client = connect(&server, packed).await;
        assert_eq!(client.call_for_all("join", &rooms.map(Value::from)).await, [json!(rooms)]);
        all.push(client);
    }
    let (second, last) = (all[1].sid.clone(), all[3].sid.clone());
    for (rooms, except, with_sender, expected) in [
        (vec!["a"], vec![], true, vec![0, 1]),
        (vec!["a"], vec![], false, vec![1]),
        (vec!["a", "y"], vec![], false, vec![1, 2]),
        (vec!["a", "b"], vec!["x"], true, vec![1, 2]),
        (vec![], vec![], false, vec![1, 2, 3]),
        (vec![], vec!["y"], true, vec![0, 3]),
        (vec![&second], vec![], false, vec![1]),
        (vec!["b", &second], vec![], false, vec![1, 2, 3]),
        (vec![], vec![&*last], false, vec![1, 2]),
        (vec!["nobody"], vec![], true, vec![]),
    ] {
        let said = [json!(rooms), json!(except), json!(with_sender)];
        assert_eq!(all[0].call_for_all("say", &said).await, [json!(true)]);
        let mut heard = Vec::new();
        for (i, client) in all.iter_mut().enumerate() {
            // Whatever was said before comes before the answer to this.
            client.call_for_all("join", &[]).await;
            let before = client.kept().count();
            heard.extend((before > 0).then_some(i));
            assert!(before <= 1, "client {i} heard it twice: {said:?}");
            if before == 1 {
                assert_eq!(client.heard().await.event, "said");
            }
        }
        assert_eq!(heard, expected, "{said:?}");
    }
}

#[tokio::test]
async fn what_is_volatile_does_not_wait_for_those_who_take_nothing() {
    let server = TestServer::embedded(application(|namespace| {
        namespace.on("say", |call| {
            let (event, size): (String, usize) = call.args()?;
            let arguments = Arguments::of(&("x".repeat(size),))?;
            let to = call.broadcast();
            if event == "volatile" {
                to.volatile().emit(&event, &arguments)?
            } else {
                to.emit(&event, &arguments)?
            }
            Ok(Answer::raw("true"))
        })
    }));
    let mut slow = RawSocket::with_small_buffer(server.public).await;
    slow.send(handshake("/socket.io/?EIO=4&transport=websocket", "").as_bytes()).await;
    assert_eq!(slow.status().await, 101);
    slow.send(&crate::support::frame(0x81, b"40")).await;
    while !slow.text().await.starts_with("40") {}
    let mut quick = connect(&server, false).await;
    let mut speaker = connect(&server, false).await;
    // Until the kernel takes no more for the slow one.
    let skipped = || server.metric("roomcast_drops_total", "volatile");
    let mut said = 0;
    while skipped().await == 0 {
        assert!(said < 200, "the slow one never blocked");
        speaker.call_for_all("say", &[json!("lasting"), json!(50_000)]).await;
        speaker.call_for_all("say", &[json!("volatile"), json!(1)]).await;
        assert_eq!((quick.heard().await.event, quick.heard().await.event), ("lasting".into(), "volatile".into()));
        said += 1;
    }
    // It still gets everything that was meant to last.
    let mut lasting = 0;
    while lasting < said {
        lasting += usize::from(slow.text().await.contains("lasting"));
    }
}

#[tokio::test]
async fn a_broadcast_gathers_the_answers_of_all_wires_until_the_time_is_up() {
    let server = TestServer::embedded(application(|namespace| {
        namespace.on("survey", |call| {
            let (room, ms): (String, u64) = call.args()?;
            let answers = call.to([room]).gather("question", &Arguments::json("1"), Duration::from_millis(ms))?;
            let later = call.defer()?;
            call.spawn(async move {
                let gathered = answers.all().await;
                let mut sums: Vec<(u32, Option<Binary>)> =
                    gathered.answers.iter().filter_map(|answer| answer.parse().ok()).collect();
                sums.sort_by_key(|(n, _)| *n);
                later.answer(Answer::json(&(sums, gathered.missing)));
            });
            Ok(Answer::None)
        })
    }));
    let mut asker = connect(&server, false).await;
    let mut members = Vec::new();
    for (n, packed) in (0..).zip([false, true, false, true]) {
        let mut member = connect(&server, packed).await;
        member.call("join", json!({"room": "all"})).await.unwrap();
        members.push((n, member));
    }
    let mut plain = NativeClient::connect(&server, Wire::Json).await;
    plain.request(json!({"join": "all"})).await.unwrap();
    let call = asker.ask("/", "none", Value::Null).await;
    assert!(asker.answer(call).await.is_err());

    let survey = [json!("all"), json!(20_000)];
    let asking = asker.call_for_all("survey", &survey);
    let answering = async {
        for (n, member) in &mut members {
            assert_eq!(member.heard().await, Heard::new("question", json!(1)));
            member.reply(vec![json!(*n), binary(b"!")]).await;
        }
        let question = plain.packet().await;
        assert_eq!((&question["event"], &question["data"]), (&json!("question"), &json!(1)));
        plain.send(&json!({"ack": question["ack"], "data": 9})).await;
    };
    // The plain one has only one argument to give, so it is not among those who gave two.
    let (answer, ()) = tokio::join!(asking, answering);
    let expected: Vec<_> = (0..4).map(|n| json!([n, binary(b"!")])).collect();
    assert_eq!(answer, [json!([expected, 0])]);

    let survey = [json!("all"), json!(300)];
    let asking = asker.call_for_all("survey", &survey);
    let answering = async {
        let (n, member) = &mut members[1];
        member.heard().await;
        member.reply(vec![json!(*n), Value::Null]).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer, [json!([[[1, null]], 4])]);
    eventually!(server.metric("roomcast_acks_timed_out_total", "").await == 4);
    assert_eq!(asker.call_for_all("survey", &[json!("nobody"), json!(20_000)]).await, [json!([[], 0])]);
}

#[tokio::test]
async fn a_session_is_sent_away_from_its_namespace_or_altogether() {
    for packed in PARSERS {
        let left = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&left);
        let describe = move |namespace: Namespace| {
            let note = Arc::clone(&note);
            namespace
                .without_vocabulary()
                .on("join", join)
                .on("bye", |call| {
                    let close = call.arg(0)?;
                    call.disconnect(close);
                    Ok(Answer::raw("\"never heard\""))
                })
                .on_disconnect(move |call, why| {
                    let rooms = call.rooms();
                    // Those who stay hear of it; the one who leaves does not.
                    call.to(&rooms).emit("left", &Arguments::none()).unwrap();
                    note.lock().unwrap().push((call.namespace_name().to_owned(), rooms, why.reason));
                })
        };
        let builder = App::builder().namespace("/", describe.clone()).namespace("/other", describe);
        let server = TestServer::embedded(builder);
        let mut stays = connect(&server, packed).await;
        stays.call_for_all("join", &[json!("r")]).await;
        let mut client = connect(&server, packed).await;
        client.enter("/other", Value::Null).await.unwrap();
        client.call_for_all("join", &[json!("r"), json!("s")]).await;
        client.emit("bye", &[json!(false)]).await;
        assert_eq!(client.control().await.trim_end_matches("null"), "1");
        assert_eq!(stays.heard().await.event, "left");
        client.enter("/", Value::Null).await.unwrap();
        client.emit("bye", &[json!(true)]).await;
        assert_eq!(client.closed().await, 1000);
        eventually!(left.lock().unwrap().len() == 3);
        let mut left = left.lock().unwrap().clone();
        left.sort();
        let entry = |namespace: &str, rooms: &[&str]| {
            (namespace.to_owned(), rooms.iter().map(|&room| room.to_owned()).collect::<Vec<_>>(), "kicked")
        };
        assert_eq!(left, [entry("/", &[]), entry("/", &["r", "s"]), entry("/other", &[])]);
        stays.call_for_all("join", &[]).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_that_session_only() {
    let server = TestServer::embedded(application(|namespace| {
        namespace
            .on_connect(|call| {
                assert_ne!(call.arg::<Value>(0).unwrap()["panic"], true, "on purpose");
                Ok(())
            })
            .on("panic", |_| panic!("on purpose"))
            .on("late panic", |call| {
                let later = call.defer()?;
                call.spawn(async move {
                    let _never = later;
                    panic!("on purpose");
                });
                Ok(Answer::None)
            })
            .on_disconnect(|call, _| assert!(call.rooms().is_empty(), "on purpose"))
    }));
    let mut bystander = connect(&server, false).await;
    let mut client = connect(&server, false).await;
    client.call("join", json!({"room": "r"})).await.unwrap();
    let error = client.call("late panic", Value::Null).await.unwrap_err();
    assert_eq!(error["code"], "internal");
    client.emit("panic", &[]).await;
    assert_eq!(client.closed().await, 1011);
    // The handler of its disconnect panicked too, and still it has left.
    eventually!(server.metric("roomcast_rooms", "").await == 0);
    let mut client = open(&server, true).await;
    let refused = crate::support::within("the end", client.try_enter(json!({"panic": true}))).await;
    assert_eq!(refused, Err(1011));
    assert_eq!(server.metric("roomcast_panics_total", "").await, 3);
    bystander.call("join", json!({"room": "r"})).await.unwrap();
}

#[tokio::test]
async fn both_parsers_and_the_plain_doors_share_one_room() {
    let server = TestServer::embedded(App::builder());
    let mut members = Vec::new();
    for wire in [Wire::SocketIo, Wire::SocketIoMsgPack, Wire::Json, Wire::MsgPack] {
        members.push(Client::member(&server, wire, "r").await);
    }
    for (n, sender) in [0, 1, 3].into_iter().enumerate() {
        let data = json!({"n": n, "file": binary(&[1, 2, 3])});
        members[sender].publish(json!({"room": "r", "event": "file", "data": data})).await.unwrap();
        for member in &mut members {
            assert_eq!(member.heard().await, Heard::new("file", data.clone()));
        }
    }
    assert_eq!(server.metric("roomcast_sessions", "\"socketio-msgpack\"").await, 1);
    // Once a connection has chosen, it keeps to it.
    let Client::SocketIo(packed) = &mut members[1] else { unreachable!() };
    packed.send_text("42[\"join\",{\"room\":\"r\"}]".to_owned()).await;
    assert_eq!(packed.closed().await, 1002);
}

#[tokio::test]
async fn an_application_knows_what_the_handshake_said_and_keeps_notes() {
    #[derive(Default)]
    struct Visits(u32);
    let builder = application(|namespace| {
        namespace
            .on("who am i", |call| {
                let said = call.handshake().map(|said| (said.url.clone(), said.query.clone()));
                Answer::json(&json!({"sid": call.sid().as_str(), "said": said, "auth": call.auth()}))
            })
            .on("visit", |call| {
                let visits: &mut Visits = call.note();
                visits.0 += 1;
                let visits = visits.0;
                Answer::json(&visits)
            })
    });
    let server = TestServer::embedded(builder.keep_handshake(true));
    let mut client = open(&server, false).await;
    client.enter("/", json!({"token": "of the application"})).await.unwrap();
    let url = "/socket.io/?EIO=4&transport=websocket&colour=red";
    let query = json!([["EIO", "4"], ["transport", "websocket"], ["colour", "red"]]);
    let expected = json!({"sid": client.sid, "said": [url, query], "auth": {"token": "of the application"}});
    assert_eq!(client.call("who am i", Value::Null).await, Ok(expected));
    for n in 1..=3 {
        assert_eq!(client.call("visit", Value::Null).await, Ok(json!(n)));
    }
    client.send_text("41".to_owned()).await;
    client.enter("/", Value::Null).await.unwrap();
    assert_eq!(client.call("visit", Value::Null).await, Ok(json!(1)), "notes outlived the session");
    assert_eq!(client.call("who am i", Value::Null).await.unwrap()["auth"], json!({}));
}

#[tokio::test]
async fn sessions_are_managed_from_afar() {
    fn of(call: &Call<'_, '_>, rooms: Vec<Box<str>>) -> Selection {
        Selection { namespace: call.namespace(), rooms, except: Vec::new() }
    }
    let server = TestServer::embedded(application(|namespace| {
        namespace
            .on("fetch", |call| {
                let (hub, later, selection) = (call.hub(), call.defer()?, of(call, call.args()?));
                call.spawn(async move {
                    let fetched = hub.fetch_sockets(selection, Duration::from_secs(5)).await.unwrap();
                    assert_eq!(fetched.missing_nodes, 0);
                    let all: Vec<_> = fetched.sockets.into_iter().map(|socket| (socket.id, socket.rooms)).collect();
                    later.answer(Answer::json(&all));
                });
                Ok(Answer::None)
            })
            .on("manage", |call| {
                let (what, from, to): (String, Box<str>, Box<str>) = call.args()?;
                let action = match &*what {
                    "join" => Action::Join(vec![to]),
                    "leave" => Action::Leave(vec![to]),
                    _ => Action::Disconnect { close: what == "close" },
                };
                let (hub, later, selection) = (call.hub(), call.defer()?, of(call, vec![from]));
                call.spawn(async move { later.answer(Answer::json(&hub.manage(selection, action).await.unwrap())) });
                Ok(Answer::None)
            })
    }));
    let mut all = Vec::new();
    for packed in [false, true, false] {
        let mut client = connect(&server, packed).await;
        client.call("join", json!({"room": "r"})).await.unwrap();
        all.push(client);
    }
    all.sort_by(|a, b| a.sid.cmp(&b.sid));
    let sids: Vec<_> = all.iter().map(|client| client.sid.clone()).collect();
    let mut boss = connect(&server, false).await;
    let manage = |what: &str, from: &str, to: &str| [json!(what), json!(from), json!(to)];
    assert_eq!(boss.call_for_all("manage", &manage("join", "r", "s")).await, [json!(3)]);
    assert_eq!(boss.call_for_all("manage", &manage("leave", &sids[1], "r")).await, [json!(1)]);
    let expected = json!([[sids[0], ["r", "s"]], [sids[1], ["s"]], [sids[2], ["r", "s"]]]);
    assert_eq!(boss.call_for_all("fetch", &[json!("r"), json!("s")]).await, [expected]);
    assert_eq!(boss.call_for_all("fetch", &[]).await[0].as_array().unwrap().len(), 4);
    assert_eq!(boss.call_for_all("manage", &manage("leave the namespace", &sids[0], "")).await, [json!(1)]);
    assert!(all[0].control().await.starts_with('1'));
    assert_eq!(boss.call_for_all("manage", &manage("close", "s", "")).await, [json!(2)]);
    assert_eq!((all[1].closed().await, all[2].closed().await), (1000, 1000));
    eventually!(server.metric("roomcast_rooms", "").await == 0);
}

#[tokio::test]
async fn the_id_of_a_session_is_no_room_for_others() {
    let server = TestServer::embedded(App::builder());
    let victim = connect(&server, false).await;
    let mut eavesdropper = connect(&server, false).await;
    let own = eavesdropper.sid.clone();
    for sid in [&victim.sid, &own] {
        for (event, arg) in [("join", json!({"room": sid})), ("publish", json!({"room": sid, "event": "e"}))] {
            assert_eq!(eavesdropper.call(event, arg).await.unwrap_err()["code"], "room-forbidden");
        }
    }
}

#[tokio::test]
async fn an_application_without_the_vocabulary_keeps_the_plain_doors_shut() {
    let server = TestServer::embedded(application(|namespace| {
        namespace.without_vocabulary().ignoring_unknown_events().on("ping me", |call| {
            call.emit("pinged", Arguments::none())?;
            Ok(Answer::None)
        })
    }));
    for wire in [Wire::Json, Wire::MsgPack] {
        let mut client = NativeClient::open(&server, "?room=r", wire).await.unwrap();
        assert_eq!(client.closed().await, 4403);
    }
    assert_eq!(http_get(server.public, "/sse?room=r").await.0, 403);
    let mut client = connect(&server, false).await;
    client.emit("join", &[json!({"room": "r"})]).await;
    client.emit("ping me", &[]).await;
    assert_eq!(client.heard().await.event, "pinged", "an unknown event was answered");
    assert_eq!(server.metric("roomcast_refusals_total", "unknown-event").await, 1);
}

#[tokio::test]
async fn an_application_has_a_word_on_every_handshake() {
    let builder = App::builder().admit(|handshake| async move {
        // It may take its time.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let wanted = handshake.headers.iter().any(|(name, value)| name == "cookie" && value == "pass=ada");
        if wanted { Ok(()) } else { Err("log in \"first\"".to_owned()) }
    });
    let server = TestServer::embedded(builder);
    for path in ["/socket.io/?EIO=4&transport=polling", "/sse?room=a"] {
        for (cookie, expected) in [("pass=bob", 403), ("pass=ada", 200)] {
            let mut socket = RawSocket::connect(server.public).await;
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
            socket.send(head.as_bytes()).await;
            assert_eq!(socket.status().await, expected, "{path}");
        }
    }
    for path in ["/socket.io/?EIO=4&transport=websocket", "/ws"] {
        for (cookie, expected) in [("pass=bob", 403), ("pass=ada", 101)] {
            let mut socket = RawSocket::connect(server.public).await;
            socket.send(handshake(path, &format!("Cookie: {cookie}\r\n")).as_bytes()).await;
            assert_eq!(socket.status().await, expected, "{path}");
        }
    }
    let mut socket = RawSocket::connect(server.public).await;
    socket.send(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(socket.answer().await.2, r#"{"code":4,"message":"log in \"first\""}"#);
    assert_eq!(server.metric("roomcast_handshakes_total", "not-admitted").await, 5);
}

#[tokio::test]
async fn a_handler_that_blocks_its_worker_is_seen_in_the_metrics() {
    let server = TestServer::embedded(application(|namespace| {
        namespace.on("block", |_| {
            std::thread::sleep(Duration::from_millis(400));
            Ok(Answer::None)
        })
    }));
    // Both from one look: ticks go on.
    let late = async || {
        let text = http_get(server.admin, "/metrics").await.1;
        let value = |series: &str| -> u64 {
            let found = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
            found.trim().parse().unwrap()
        };
        let name = "roomcast_worker_tick_lag_seconds";
        value(&format!("{name}_count")) - value(&format!("{name}_bucket{{le=\"0.2\"}}"))
    };
    let before = late().await;
    let mut client = connect(&server, false).await;
    client.emit("block", &[]).await;
    eventually!(late().await > before);
}
