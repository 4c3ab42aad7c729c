#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use hull_store::memory::MemoryStore;

use super::*;

fn open() -> Arc<Deployment> {
    let config = DeploymentConfig {
        name: "toy".to_owned(),
        cursor_secret: [9; 32],
        cloud_origin: String::new(),
        site_origin: String::new(),
        workers: 1,
        redact_logs_to_client: false,
    };
    Deployment::open(config, Arc::new(MemoryStore::new())).unwrap()
}

fn put(transaction: &mut Transaction, name: &str, n: i64) {
    let id = system::row_id(&[name.as_bytes()]);
    let row = document::row([("n", Value::Int64(n))]);
    transaction
        .put_system_row(system::DEPLOYMENT_STATE, id, Some(row))
        .unwrap();
}

#[tokio::test]
async fn a_transaction_that_always_collides_gives_up_with_its_own_error() {
    let deployment = open();
    let attempts = Arc::new(Mutex::new(0));
    let counted = attempts.clone();
    let conflict = CodedError::bad_request("ConcurrentPush", "again");
    let result = deployment
        .transact_or(8, conflict, move |runner, transaction| {
            let mut attempts = counted.lock().unwrap();
            *attempts += 1;
            put(transaction, "contended", 0);
            let mut other = runner.engine.begin(&clock::begin_context())?;
            put(&mut other, "contended", *attempts);
            runner.engine.commit_and_wait(other, clock::now()).unwrap();
            Ok(())
        })
        .await;
    assert_eq!(result.unwrap_err().code, "ConcurrentPush");
    assert_eq!(*attempts.lock().unwrap(), 8);
    deployment.shutdown().await;
}
