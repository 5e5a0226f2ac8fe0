//! Services and the keys by which monitoring speaks for them.

use super::{Bench, KEY, NOW, key, service, trigger};
use roomcast::store::{Deleted, Service};

super::contracts! {
    a_slug_is_taken_once_and_services_are_listed_by_it
    a_service_with_incidents_stays
    a_key_opens_until_it_is_revoked
    maintenance_that_ends_early_wakes_what_it_hid
}

async fn a_slug_is_taken_once_and_services_are_listed_by_it(bench: Bench) {
    let services = &bench.store.services;
    for slug in ["web", "api", "Zeta", "db"] {
        assert!(services.create_service(service(slug)).await.unwrap());
    }
    assert!(!services.create_service(service("api")).await.unwrap());
    let slugs = |services: Vec<Service>| services.into_iter().map(|service| service.slug).collect::<Vec<_>>();
    assert_eq!(slugs(services.services(None, 10).await.unwrap()), ["Zeta", "api", "db", "web"]);
    assert_eq!(slugs(services.services(Some("api".into()), 1).await.unwrap()), ["db"]);

    let api = services.service("api".into()).await.unwrap().unwrap();
    let changed = Service { name: "The API".into(), maintenance_until: Some(NOW), ack_target_secs: Some(60), ..api };
    let changed = Service { team: Some("core".into()), ..changed };
    assert!(services.change_service(changed.clone()).await.unwrap());
    assert_eq!(services.service("api".into()).await.unwrap(), Some(changed.clone()));
    assert!(!services.change_service(Service { slug: "none".into(), ..changed }).await.unwrap());
    assert_eq!(services.service("none".into()).await.unwrap(), None);
}

async fn a_service_with_incidents_stays(bench: Bench) {
    let (services, api) = (&bench.store.services, bench.service().await);
    assert_eq!(services.delete_service("none".into()).await.unwrap(), Deleted::Missing);
    bench.trigger("disk", NOW).await;
    assert_eq!(services.delete_service(api.slug).await.unwrap(), Deleted::InUse);
    let empty = service("empty");
    services.create_service(empty.clone()).await.unwrap();
    services.create_key(key(&empty, [8; 32])).await.unwrap();
    assert_eq!(services.delete_service("empty".into()).await.unwrap(), Deleted::Done);
    assert_eq!(services.known_key([8; 32]).await.unwrap(), None, "its keys go with it");
}

async fn a_key_opens_until_it_is_revoked(bench: Bench) {
    let (services, api) = (&bench.store.services, bench.service().await);
    let other = service("other");
    services.create_service(other.clone()).await.unwrap();
    let known = services.known_key(KEY).await.unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.service.as_str()), ("prometheus", "api"));
    assert_eq!(services.known_key([9; 32]).await.unwrap(), None);
    assert!(!services.revoke_key(other.id, known.id, NOW).await.unwrap(), "it is not that service's");
    assert!(services.revoke_key(api.id, known.id, NOW).await.unwrap());
    assert!(!services.revoke_key(api.id, known.id, NOW).await.unwrap());
    assert_eq!(services.known_key(KEY).await.unwrap(), None);
    assert_eq!(bench.store.incidents.ingest(trigger("disk", NOW)).await.unwrap(), None);
    let keys = services.keys(api.id, 10).await.unwrap();
    assert_eq!((keys.len(), keys[0].revoked_at), (1, Some(NOW)));
}

async fn maintenance_that_ends_early_wakes_what_it_hid(bench: Bench) {
    let (services, incidents) = (&bench.store.services, &bench.store.incidents);
    let api = bench.service().await;
    services.change_service(Service { maintenance_until: Some(NOW + 100), ..api.clone() }).await.unwrap();
    let hidden = bench.trigger("disk", NOW).await;
    let loud = bench.trigger("disk-2", NOW + 100).await;
    assert_eq!((hidden.status.as_str(), loud.status.as_str()), ("suppressed", "triggered"));
    assert_eq!(bench.incident(hidden.id).await.wakes_at, Some(NOW + 100));
    assert!(incidents.due(NOW + 99, 10).await.unwrap().is_empty());
    assert_eq!(incidents.due(NOW + 100, 10).await.unwrap(), [hidden.id]);
    services.change_service(api).await.unwrap();
    assert_eq!(incidents.due(NOW, 10).await.unwrap(), [hidden.id]);
}
