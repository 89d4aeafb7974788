// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server posts to the `callback_url` of a job.

use serde_json::{Value, json};

/// How a job may end, as a webhook says it.
const ENDS: [&str; 4] = ["completed", "failed", "timeout", "cancelled"];

/// The requests that receivers get.
pub(super) fn webhooks() -> Value {
    let header = |name: &str, means: &str, schema: Value| json!({"name": name, "in": "header", "required": true, "description": means, "schema": schema});
    json!({"jobEnded": {"post": {
        "summary": "A job with a callback_url has ended",
        "description": "Posted at least once by a server with webhooks (`unsandbox serve --webhooks`), by the specification \
                        Standard Webhooks.",
        "security": [],
        "parameters": [
            header("webhook-id", "the same each time that this webhook is posted", json!({"type": "string"})),
            header("webhook-timestamp", "Unix seconds of this attempt", json!({"type": "integer"})),
            header(
                "webhook-signature",
                "words `v1,` and base64 of HMAC-SHA256 over id, timestamp and body with stops between them; while the secret \
                 of a pair is changed there are two",
                json!({"type": "string"}),
            ),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": body()}}},
        "responses": {
            "2XX": {"description": "it was delivered"},
            "410": {"description": "it is given up"},
            "default": {"description": "it is posted again later"},
        },
    }}})
}

fn body() -> Value {
    let id = json!({"type": "string", "description": "id of the job"});
    let data = json!({
        "type": "object", "required": ["job_id", "status"],
        "properties": {"job_id": id, "status": {"type": "string", "enum": ENDS}},
    });
    let time =
        json!({"type": "string", "format": "date-time", "description": "when the job ended"});
    json!({
        "type": "object", "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "enum": ENDS.map(|end| format!("job.{end}"))},
            "timestamp": time,
            "data": data,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Status;
    use crate::webhook::webhook_body;

    #[test]
    fn the_body_of_a_webhook_is_the_one_described() {
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let schema = body();
        for end in ENDS {
            assert!(Status::parse(end).is_terminal(), "{end}");
            let sent: Value =
                serde_json::from_str(&webhook_body("job_1", &Status::parse(end), 1)).unwrap();
            let properties = &schema["properties"];
            assert_eq!(keys(&sent), keys(properties));
            assert_eq!(keys(&sent["data"]), keys(&properties["data"]["properties"]));
            assert!(properties["type"]["enum"].as_array().unwrap().contains(&sent["type"]));
        }
    }
}
