//! Services and keys in SQLite.

use super::rows::service;
use super::{Sqlite, error};
use crate::metrics::PoolShare::Interactive;
use crate::store::{Answer, Deleted, IntegrationKey, KnownKey, NewKey, Service, ServiceStore};
use rusqlite::{ErrorCode, OptionalExtension as _};
use uuid::Uuid;

const SERVICE: &str = "SELECT id, slug, name, maintenance_until, created_at, team, ack_target_secs, \
     max_open FROM services";

impl ServiceStore for Sqlite {
    fn create_service(&self, service: Service) -> Answer<'_, bool> {
        let sql = "INSERT INTO services (id, slug, name, maintenance_until, created_at, team, ack_target_secs, max_open) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (slug) DO NOTHING";
        Box::pin(self.write(Interactive, "create service", move |tx| {
            let Service { id, slug, name, maintenance_until, team, ack_target_secs, max_open, created_at } = service;
            let row = (id, slug, name, maintenance_until, created_at, team, ack_target_secs, max_open);
            Ok(tx.execute(sql, row).map_err(error)? == 1)
        }))
    }

    fn service(&self, slug: String) -> Answer<'_, Option<Service>> {
        Box::pin(self.read(Interactive, "one service", move |db| {
            db.query_row(&format!("{SERVICE} WHERE slug = ?1"), [slug], service).optional().map_err(error)
        }))
    }

    fn services(&self, after: Option<String>, limit: u32) -> Answer<'_, Vec<Service>> {
        Box::pin(self.read(Interactive, "services", move |db| {
            let sql = format!("{SERVICE} WHERE slug > ?1 ORDER BY slug LIMIT ?2");
            let mut statement = db.prepare_cached(&sql).map_err(error)?;
            let rows = statement.query_map((after.unwrap_or_default(), limit), service).map_err(error)?;
            rows.collect::<Result<_, _>>().map_err(error)
        }))
    }

    fn change_service(&self, service: Service) -> Answer<'_, bool> {
        Box::pin(self.write(Interactive, "change service", move |tx| {
            let sql = "UPDATE services SET name = ?2, maintenance_until = ?3, team = ?4, ack_target_secs = ?5, max_open = ?6 \
                       WHERE slug = ?1";
            let Service { slug, name, maintenance_until, team, ack_target_secs, max_open, .. } = &service;
            let values = (slug, name, maintenance_until, team, ack_target_secs, max_open);
            let changed = tx.execute(sql, values).map_err(error)?;
            let sql = "UPDATE incidents SET wakes_at = coalesce(?2, 0) WHERE status = 'suppressed' \
                       AND service_id = (SELECT id FROM services WHERE slug = ?1)";
            tx.execute(sql, (&service.slug, service.maintenance_until)).map_err(error)?;
            Ok(changed == 1)
        }))
    }

    fn delete_service(&self, slug: String) -> Answer<'_, Deleted> {
        Box::pin(self.write(Interactive, "delete service", move |tx| {
            match tx.execute("DELETE FROM services WHERE slug = ?1", [slug]) {
                Ok(0) => Ok(Deleted::Missing),
                Ok(_) => Ok(Deleted::Done),
                Err(refused) if refused.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Ok(Deleted::InUse)
                }
                Err(other) => Err(error(other)),
            }
        }))
    }

    fn create_key(&self, key: NewKey) -> Answer<'_, ()> {
        let sql = "INSERT INTO integration_keys (id, service_id, name, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        Box::pin(self.write(Interactive, "create key", move |tx| {
            tx.execute(sql, (key.id, key.service, key.name, key.digest, key.created_at)).map_err(error)?;
            Ok(())
        }))
    }

    fn keys(&self, service: Uuid, limit: u32) -> Answer<'_, Vec<IntegrationKey>> {
        let sql = "SELECT id, name, created_at, revoked_at FROM integration_keys WHERE service_id = ?1 \
                   ORDER BY id LIMIT ?2";
        Box::pin(self.read(Interactive, "keys", move |db| {
            let mut statement = db.prepare_cached(sql).map_err(error)?;
            let key = |row: &rusqlite::Row<'_>| {
                Ok(IntegrationKey {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    created_at: row.get(2)?,
                    revoked_at: row.get(3)?,
                })
            };
            let rows = statement.query_map((service, limit), key).map_err(error)?;
            rows.collect::<Result<_, _>>().map_err(error)
        }))
    }

    fn revoke_key(&self, service: Uuid, key: Uuid, now: i64) -> Answer<'_, bool> {
        let sql =
            "UPDATE integration_keys SET revoked_at = ?3 WHERE service_id = ?1 AND id = ?2 AND revoked_at IS NULL";
        Box::pin(
            self.write(Interactive, "revoke key", move |tx| {
                Ok(tx.execute(sql, (service, key, now)).map_err(error)? == 1)
            }),
        )
    }

    fn known_key(&self, digest: [u8; 32]) -> Answer<'_, Option<KnownKey>> {
        let sql = "SELECT k.id, k.name, s.slug FROM integration_keys k JOIN services s ON s.id = k.service_id \
                   WHERE k.digest = ?1 AND k.revoked_at IS NULL";
        Box::pin(self.read(Interactive, "known key", move |db| {
            let key =
                |row: &rusqlite::Row<'_>| Ok(KnownKey { id: row.get(0)?, name: row.get(1)?, service: row.get(2)? });
            db.query_row(sql, [digest], key).optional().map_err(error)
        }))
    }
}
