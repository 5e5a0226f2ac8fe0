use super::*;
use crate::config::{KeySetUrl, PublicKey, TokenAlgorithm};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Parser as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const LATER: u64 = 4_000_000_000;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    auth: AuthSettings,
}

fn settings(flags: &[&str]) -> AuthSettings {
    Arguments::parse_from([&["test"], flags].concat()).auth
}

fn access(auth: &AuthSettings) -> Access {
    assert_eq!(auth.check(), Vec::<String>::new());
    Access::new(auth, 32, false, Arc::default()).unwrap()
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn claims() -> Value {
    json!({"sub": "ada", "exp": LATER})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn by_secret(claims: &Value) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

/// Who a token is, or why it is nobody's: the reason is counted.
fn look(access: &Access, token: &str) -> Result<Arc<Identity>, TokenRefusal> {
    let count = |why: &TokenRefusal| access.inner.stats.tokens_refused[*why as usize].get();
    let before = TokenRefusal::ALL.map(|why| count(&why));
    match access.look_at(token) {
        Look::Is(identity) => Ok(identity),
        Look::Nobody => {
            Err(TokenRefusal::ALL.into_iter().zip(before).find(|(why, before)| count(why) > *before).unwrap().0)
        }
        Look::Later(_) => panic!("nothing is fetched here"),
    }
}

/// An algorithm, its private key, and its public key as PEM.
fn key_pairs() -> Vec<(Algorithm, EncodingKey, String)> {
    let pem = |der: &[u8]| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p256_public: PublicKeyX509Der<'_> = p256.public_key().as_der().unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ed_public: PublicKeyX509Der<'_> = ed.public_key().as_der().unwrap();
    vec![
        // Behind the frame of PKCS #8 stands the key of PKCS #1.
        (Algorithm::RS256, EncodingKey::from_rsa_der(&rsa_private.as_ref()[26..]), pem(rsa_public.as_ref())),
        (Algorithm::ES256, EncodingKey::from_ec_der(p256.to_pkcs8v1().unwrap().as_ref()), pem(p256_public.as_ref())),
        (Algorithm::EdDSA, EncodingKey::from_ed_der(ed.to_pkcs8v1().unwrap().as_ref()), pem(ed_public.as_ref())),
    ]
}

#[test]
fn a_token_says_who_somebody_is() {
    let access = access(&settings(&["--auth-secret", SECRET]));
    let said = json!({"sub": "ada", "exp": LATER, "jti": "t", "info": {"name": "Ada"}});
    let identity = look(&access, &by_secret(&said)).unwrap();
    assert_eq!((identity.user.as_deref(), identity.token.as_deref()), (Some("ada"), Some("t")));
    assert_eq!(identity.info.as_deref(), Some(r#"{"name":"Ada"}"#));
    assert_eq!(identity.expires_at, Some((LATER + 5) * 1_000), "with the leeway");
}

#[test]
fn expired_foreign_unsigned_and_endless_tokens_say_nothing() {
    let access = access(&settings(&["--auth-secret", SECRET]));
    let good = by_secret(&claims());
    let foreign = EncodingKey::from_secret(b"another secret of another server");
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjQwMDAwMDAwMDB9.";
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".into()]);
    let critical = jsonwebtoken::encode(&critical, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    let other_payload =
        good.replace(good.split('.').nth(1).unwrap(), &URL_SAFE_NO_PAD.encode(with("sub", json!("eve")).to_string()));
    for (token, why) in [
        (String::new(), TokenRefusal::Malformed),
        ("a.b.c".into(), TokenRefusal::Malformed),
        (good[..good.len() - 3].to_owned(), TokenRefusal::Signature),
        (good[..good.len() - 2].to_owned(), TokenRefusal::Malformed),
        (good.rsplit_once('.').unwrap().0.to_owned(), TokenRefusal::Malformed),
        (other_payload, TokenRefusal::Signature),
        (by_secret(&with("exp", json!(1))), TokenRefusal::Expired),
        (by_secret(&with("nbf", json!(LATER))), TokenRefusal::NotYet),
        (by_secret(&json!({"sub": "ada"})), TokenRefusal::Claims),
        (by_secret(&json!({"exp": LATER})), TokenRefusal::Claims),
        (by_secret(&with("exp", json!("4000000000"))), TokenRefusal::Claims),
        (by_secret(&with("sub", json!("x".repeat(300)))), TokenRefusal::Claims),
        (sign(Algorithm::HS256, &foreign, &claims()), TokenRefusal::Signature),
        (sign(Algorithm::HS512, &EncodingKey::from_secret(SECRET.as_bytes()), &claims()), TokenRefusal::Algorithm),
        (none.to_owned(), TokenRefusal::Algorithm),
        (critical, TokenRefusal::Malformed),
        (format!("{good}{}", "x".repeat(9_000)), TokenRefusal::TooLarge),
    ] {
        assert_eq!(look(&access, &token), Err(why), "{token}");
    }
    assert!(look(&access, &by_secret(&claims())).is_ok());
    let keyless = Access::new(&settings(&[]), 32, true, Arc::default()).unwrap();
    assert_eq!(look(&keyless, &good), Err(TokenRefusal::NoKeys));
}

#[test]
fn every_kind_of_public_key_verifies_its_own_algorithm_alone() {
    let pairs = key_pairs();
    for (algorithm, _, pem) in &pairs {
        let mut auth = settings(&[]);
        auth.auth_public_key = Some(PublicKey::from_pem(pem).unwrap());
        let access = access(&auth);
        for (other, private, _) in &pairs {
            let seen = look(&access, &sign(*other, private, &claims()));
            if other == algorithm {
                assert!(seen.is_ok(), "{other:?}")
            } else {
                assert_eq!(seen, Err(TokenRefusal::Algorithm))
            }
        }
        // What anybody can read is no secret, however it is written down.
        for guess in [pem.as_bytes(), pem.trim().as_bytes()] {
            let forged = sign(Algorithm::HS256, &EncodingKey::from_secret(guess), &claims());
            assert_eq!(look(&access, &forged), Err(TokenRefusal::Algorithm));
        }
    }
    let others = key_pairs();
    let mut auth = settings(&[]);
    auth.auth_public_key = Some(PublicKey::from_pem(&pairs[0].2).unwrap());
    assert_eq!(look(&access(&auth), &sign(others[0].0, &others[0].1, &claims())), Err(TokenRefusal::Signature));
}

#[test]
fn algorithms_are_those_of_the_settings() {
    let long = SECRET.repeat(2);
    let token = |algorithm| sign(algorithm, &EncodingKey::from_secret(long.as_bytes()), &claims());
    let all = access(&settings(&["--auth-secret", &long, "--auth-algorithms", "HS256,HS384,HS512"]));
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(look(&all, &token(algorithm)).is_ok(), "{algorithm:?}");
    }
    let one = settings(&["--auth-secret", &long, "--auth-algorithms", "HS384"]);
    assert_eq!(one.algorithms(), [TokenAlgorithm::Hs384]);
    assert_eq!(look(&access(&one), &token(Algorithm::HS256)), Err(TokenRefusal::Algorithm));
}

#[test]
fn issuer_and_audience_are_checked_once_the_settings_name_them() {
    let plain = access(&settings(&["--auth-secret", SECRET]));
    let both = json!({"sub": "ada", "exp": LATER, "iss": "https://a", "aud": ["x", "rooms"]});
    assert!(look(&plain, &by_secret(&both)).is_ok());
    let strict = settings(&["--auth-secret", SECRET, "--auth-issuer=https://a,https://b", "--auth-audience=rooms,y"]);
    let strict = access(&strict);
    assert!(look(&strict, &by_secret(&both)).is_ok());
    let changed = |key: &str, value: Value| {
        let mut claims = both.clone();
        claims[key] = value;
        look(&strict, &by_secret(&claims)).unwrap_err()
    };
    for value in [json!("https://c"), Value::Null, json!(7)] {
        assert_eq!(changed("iss", value.clone()), TokenRefusal::Issuer, "{value}");
    }
    for value in [json!("z"), json!(["z"]), json!([]), Value::Null] {
        assert_eq!(changed("aud", value.clone()), TokenRefusal::Audience, "{value}");
    }
}

#[test]
fn a_revoked_token_says_nothing_until_it_has_expired() {
    let access = access(&settings(&["--auth-secret", SECRET]));
    let token = by_secret(&with("jti", json!("t1")));
    let identity = look(&access, &token).unwrap();
    assert!(access.still_holds(&identity));
    assert!(access.revoked().add(None, "t1", u64::MAX, 0));
    assert_eq!(look(&access, &token), Err(TokenRefusal::Revoked));
    assert!(!access.still_holds(&identity));
    assert!(look(&access, &by_secret(&with("jti", json!("t2")))).is_ok());
}

#[tokio::test]
async fn nothing_is_fetched_for_a_token_of_an_unknown_issuer() {
    let auth = settings(&["--auth-jwks-url=https-a=http://127.0.0.1:9/keys"]);
    let url: &KeySetUrl = &auth.auth_jwks_urls[0];
    assert_eq!(url.issuer.as_deref(), Some("https-a"));
    let access = access(&auth);
    let (algorithm, private, _) = key_pairs().remove(2);
    for claims in [claims(), with("iss", json!("http://127.0.0.1:9/other"))] {
        assert_eq!(look(&access, &sign(algorithm, &private, &claims)), Err(TokenRefusal::Issuer));
    }
    assert!(matches!(access.look_at(&sign(algorithm, &private, &with("iss", json!("https-a")))), Look::Later(_)));
}

#[test]
fn whatever_a_server_may_ask_of_tokens_its_own_have() {
    let long = SECRET.repeat(2);
    let flags = ["--auth-secret", &long, "--auth-algorithms=HS512", "--auth-issuer=a,b", "--auth-audience=rooms"];
    let auth = settings(&flags);
    let token = TokenKey::of(&auth).unwrap();
    let said =
        Claims { sub: "ada".into(), exp: LATER, iss: Some("b".into()), aud: Some("rooms".into()), ..Claims::default() };
    assert!(look(&access(&auth), &token.sign(&said).unwrap()).is_ok());
    assert!(TokenKey::of(&settings(&[])).is_none());
}

proptest::proptest! {
    #[test]
    fn no_token_causes_a_panic(header in ".{0,40}", body in ".{0,60}", signature in "[A-Za-z0-9_-]{0,50}", raw in ".{0,80}") {
        let auth = settings(&["--auth-secret", SECRET]);
        let access = access(&auth);
        let encoded = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        for token in [encoded, raw] {
            proptest::prop_assert!(look(&access, &token).is_err());
        }
    }
}
