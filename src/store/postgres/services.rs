//! Services and keys in PostgreSQL.

use super::rows::{get, service};
use super::{Postgres, connect};
use crate::metrics::PoolShare::Interactive;
use crate::store::{Answer, Deleted, IntegrationKey, KnownKey, NewKey, Service, ServiceStore};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

const SERVICE: &str = "SELECT id, slug, name, maintenance_until, created_at, team, ack_target_secs, \
     max_open FROM services";

impl ServiceStore for Postgres {
    fn create_service(&self, service: Service) -> Answer<'_, bool> {
        let sql = "INSERT INTO services (id, slug, name, maintenance_until, created_at, team, ack_target_secs, max_open) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (slug) DO NOTHING";
        Box::pin(self.run(Interactive, "create service", move |client| {
            Box::pin(async move {
                let Service { id, slug, name, maintenance_until, team, ack_target_secs, max_open, created_at } =
                    &service;
                let params: [super::Param<'_>; 8] = [
                    (id, Type::UUID),
                    (slug, Type::TEXT),
                    (name, Type::TEXT),
                    (maintenance_until, Type::INT8),
                    (created_at, Type::INT8),
                    (team, Type::TEXT),
                    (ack_target_secs, Type::INT8),
                    (max_open, Type::INT8),
                ];
                Ok(client.execute_typed(sql, &params).await.map_err(connect::error)? == 1)
            })
        }))
    }

    fn service(&self, slug: String) -> Answer<'_, Option<Service>> {
        Box::pin(self.run(Interactive, "one service", move |client| {
            Box::pin(async move {
                let sql = format!("{SERVICE} WHERE slug = $1");
                let row = client.query_typed_opt(&sql, &[(&slug, Type::TEXT)]).await.map_err(connect::error)?;
                row.as_ref().map(service).transpose()
            })
        }))
    }

    fn services(&self, after: Option<String>, limit: u32) -> Answer<'_, Vec<Service>> {
        Box::pin(self.run(Interactive, "services", move |client| {
            Box::pin(async move {
                // C: bytes are compared, as SQLite compares.
                let sql = format!("{SERVICE} WHERE slug COLLATE \"C\" > $1 ORDER BY slug COLLATE \"C\" LIMIT $2");
                let (after, limit) = (after.unwrap_or_default(), i64::from(limit));
                let rows = client.query_typed(&sql, &[(&after, Type::TEXT), (&limit, Type::INT8)]).await;
                rows.map_err(connect::error)?.iter().map(service).collect()
            })
        }))
    }

    fn change_service(&self, service: Service) -> Answer<'_, bool> {
        let sql = "WITH changed AS (UPDATE services SET name = $2, maintenance_until = $3, team = $4, \
                   ack_target_secs = $5, max_open = $6 WHERE slug = $1 RETURNING id), \
                   woken AS (UPDATE incidents SET wakes_at = coalesce($3, 0) FROM changed \
                   WHERE service_id = changed.id AND status = 'suppressed') SELECT count(*) FROM changed";
        Box::pin(self.run(Interactive, "change service", move |client| {
            Box::pin(async move {
                let Service { slug, name, maintenance_until, team, ack_target_secs, max_open, .. } = &service;
                let params: [super::Param<'_>; 6] = [
                    (slug, Type::TEXT),
                    (name, Type::TEXT),
                    (maintenance_until, Type::INT8),
                    (team, Type::TEXT),
                    (ack_target_secs, Type::INT8),
                    (max_open, Type::INT8),
                ];
                let row = client.query_typed_one(sql, &params).await.map_err(connect::error)?;
                Ok(get::<i64>(&row, 0)? == 1)
            })
        }))
    }

    fn delete_service(&self, slug: String) -> Answer<'_, Deleted> {
        Box::pin(self.run(Interactive, "delete service", move |client| {
            Box::pin(async move {
                let gone = client.execute_typed("DELETE FROM services WHERE slug = $1", &[(&slug, Type::TEXT)]).await;
                match gone {
                    Ok(0) => Ok(Deleted::Missing),
                    Ok(_) => Ok(Deleted::Done),
                    Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Ok(Deleted::InUse),
                    Err(error) => Err(connect::error(error)),
                }
            })
        }))
    }

    fn create_key(&self, key: NewKey) -> Answer<'_, ()> {
        let sql = "INSERT INTO integration_keys (id, service_id, name, digest, created_at) VALUES ($1, $2, $3, $4, $5)";
        Box::pin(self.run(Interactive, "create key", move |client| {
            Box::pin(async move {
                let digest = &key.digest[..];
                let params: [super::Param<'_>; 5] = [
                    (&key.id, Type::UUID),
                    (&key.service, Type::UUID),
                    (&key.name, Type::TEXT),
                    (&digest, Type::BYTEA),
                    (&key.created_at, Type::INT8),
                ];
                client.execute_typed(sql, &params).await.map_err(connect::error)?;
                Ok(())
            })
        }))
    }

    fn keys(&self, service: Uuid, limit: u32) -> Answer<'_, Vec<IntegrationKey>> {
        let sql = "SELECT id, name, created_at, revoked_at FROM integration_keys WHERE service_id = $1 \
                   ORDER BY id LIMIT $2";
        Box::pin(self.run(Interactive, "keys", move |client| {
            Box::pin(async move {
                let limit = i64::from(limit);
                let rows = client.query_typed(sql, &[(&service, Type::UUID), (&limit, Type::INT8)]).await;
                let key = |row| {
                    Ok(IntegrationKey {
                        id: get(row, 0)?,
                        name: get(row, 1)?,
                        created_at: get(row, 2)?,
                        revoked_at: get(row, 3)?,
                    })
                };
                rows.map_err(connect::error)?.iter().map(key).collect()
            })
        }))
    }

    fn revoke_key(&self, service: Uuid, key: Uuid, now: i64) -> Answer<'_, bool> {
        let sql =
            "UPDATE integration_keys SET revoked_at = $3 WHERE service_id = $1 AND id = $2 AND revoked_at IS NULL";
        Box::pin(self.run(Interactive, "revoke key", move |client| {
            Box::pin(async move {
                let params: [super::Param<'_>; 3] = [(&service, Type::UUID), (&key, Type::UUID), (&now, Type::INT8)];
                Ok(client.execute_typed(sql, &params).await.map_err(connect::error)? == 1)
            })
        }))
    }

    fn known_key(&self, digest: [u8; 32]) -> Answer<'_, Option<KnownKey>> {
        let sql = "SELECT k.id, k.name, s.slug FROM integration_keys k JOIN services s ON s.id = k.service_id \
                   WHERE k.digest = $1 AND k.revoked_at IS NULL";
        Box::pin(self.run(Interactive, "known key", move |client| {
            Box::pin(async move {
                let row = client.query_typed_opt(sql, &[(&&digest[..], Type::BYTEA)]).await.map_err(connect::error)?;
                row.map(|row| Ok(KnownKey { id: get(&row, 0)?, name: get(&row, 1)?, service: get(&row, 2)? }))
                    .transpose()
            })
        }))
    }
}
