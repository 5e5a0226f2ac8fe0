//! Which incidents a list has, and in which order it goes on.

use super::{Bench, KEY, NOW, key, service, trigger};
use roomcast::store::{IncidentFilter, Service, Trigger};

super::contracts! {
    a_text_is_found_anywhere_in_a_title_as_it_is_written
    incidents_are_listed_by_the_team_of_their_service
    what_happened_again_was_updated_and_pages_go_on_in_what_is_listed
}

/// Incidents whose keys are these texts, and their titles too, each opened a microsecond after the one before.
async fn opened(bench: &Bench, digest: [u8; 32], titles: &[&str]) {
    for (n, title) in (0..).zip(titles) {
        let event = Trigger { key: digest, title: (*title).to_owned(), ..trigger(title, NOW + n) };
        bench.store.incidents.ingest(event).await.unwrap().unwrap();
    }
}

async fn titles(bench: &Bench, filter: IncidentFilter) -> Vec<String> {
    let page = bench.store.incidents.incidents(IncidentFilter { limit: 100, ..filter }).await.unwrap();
    page.incidents.into_iter().map(|incident| incident.title).collect()
}

async fn a_text_is_found_anywhere_in_a_title_as_it_is_written(bench: Bench) {
    bench.service().await;
    opened(&bench, KEY, &["Disk at 100%", "disk_1 at 1000", r"C:\disk", "diskX1", "☂ rain"]).await;
    let found = async |text: &str| {
        titles(&bench, IncidentFilter { text: Some(text.into()), ..IncidentFilter::default() }).await
    };
    assert_eq!(found("DISK").await, ["diskX1", r"C:\disk", "disk_1 at 1000", "Disk at 100%"]);
    assert_eq!(found("100%").await, ["Disk at 100%"], "% stands for itself");
    assert_eq!(found("k_1").await, ["disk_1 at 1000"], "_ stands for itself");
    assert_eq!(found(r":\d").await, [r"C:\disk"], r"\ stands for itself");
    assert_eq!(found("☂").await, ["☂ rain"]);
    for nowhere in ["' OR true --", r"\%", "%%", "x".repeat(200).as_str()] {
        assert!(found(nowhere).await.is_empty(), "{nowhere}");
    }
}

async fn incidents_are_listed_by_the_team_of_their_service(bench: Bench) {
    bench.service().await;
    let web = Service { team: Some("front".into()), ..service("web") };
    bench.store.services.create_service(web.clone()).await.unwrap();
    bench.store.services.create_key(key(&web, [8; 32])).await.unwrap();
    opened(&bench, KEY, &["of nobody's"]).await;
    opened(&bench, [8; 32], &["of front's"]).await;
    let of = async |team: &str| {
        titles(&bench, IncidentFilter { team: Some(team.into()), ..IncidentFilter::default() }).await
    };
    assert_eq!((of("front").await, of("back").await), (vec!["of front's".to_owned()], Vec::new()));
    bench.store.services.change_service(Service { team: Some("back".into()), ..web }).await.unwrap();
    assert_eq!((of("front").await, of("back").await), (Vec::new(), vec!["of front's".to_owned()]));
}

async fn what_happened_again_was_updated_and_pages_go_on_in_what_is_listed(bench: Bench) {
    bench.service().await;
    opened(&bench, KEY, &["disk 0", "cpu 1", "disk 2", "cpu 3", "disk 4"]).await;
    bench.trigger("disk 0", NOW + 50).await;
    let after =
        async |time| titles(&bench, IncidentFilter { updated_after: Some(time), ..IncidentFilter::default() }).await;
    assert_eq!(after(NOW + 3).await, ["disk 4", "disk 0"]);
    assert_eq!(after(NOW + 49).await, ["disk 0"]);
    assert!(after(NOW + 50).await.is_empty(), "after means after");

    let (mut place, mut seen) = (None, Vec::new());
    loop {
        let text = Some("DISK".to_owned());
        let filter =
            IncidentFilter { text, updated_after: Some(NOW), after: place, limit: 1, ..IncidentFilter::default() };
        let page = bench.store.incidents.incidents(filter).await.unwrap();
        place = page.incidents.last().map(|last| (last.opened_at, last.id));
        seen.extend(page.incidents.into_iter().map(|incident| incident.title));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, ["disk 4", "disk 2", "disk 0"]);
}
