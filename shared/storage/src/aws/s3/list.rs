//! Listings and deletions.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::S3Store;
use crate::aws::failure::AwsError;
use crate::error::StoreError;
use crate::objects::ObjectMeta;
use crate::paths::ObjectName;

/// S3 lists and deletes no more at a time.
const PAGE: usize = 1000;

impl S3Store {
    pub(super) async fn list_names(
        &self,
        prefix: &str,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let after = match after {
            // Servers differ in what they make of a start outside the prefix.
            Some(after) if !after.as_str().starts_with(prefix) => {
                if after.as_str() > prefix {
                    return Ok(Vec::new());
                }
                None
            }
            after => after,
        };
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        while listed.len() < limit {
            let answer = self
                .clients
                .again
                .list_objects_v2()
                .bucket(&self.location.bucket)
                .prefix(self.location.key(prefix))
                .set_start_after(after.map(|after| self.location.key(after.as_str())))
                .set_continuation_token(token.take())
                .max_keys(i32::try_from((limit - listed.len()).min(PAGE)).unwrap_or(i32::MAX))
                .send()
                .await;
            let output = answer.map_err(|error| {
                let failure = self.failure(&error, "s3:ListBucket");
                failure.into_store_error(format!("listing {prefix}"))
            })?;
            listed.extend(output.contents().iter().filter_map(|object| {
                let name = self.location.name(object.key()?)?;
                let size = u64::try_from(object.size()?).ok()?;
                Some(ObjectMeta { name, size })
            }));
            token = output.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    pub(super) async fn delete_names(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        for names in names.chunks(PAGE) {
            self.delete_page(names).await?;
        }
        Ok(())
    }

    async fn delete_page(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        let what = || format!("deleting {} objects", names.len());
        let mut delete = Delete::builder().quiet(true);
        for name in names {
            let object = ObjectIdentifier::builder()
                .key(self.location.key(name.as_str()))
                .build()
                .map_err(|error| StoreError::other_because(what(), error))?;
            delete = delete.objects(object);
        }
        let delete = delete
            .build()
            .map_err(|error| StoreError::other_because(what(), error))?;
        let answer = self
            .clients
            .again
            .delete_objects()
            .bucket(&self.location.bucket)
            .delete(delete)
            .send()
            .await;
        let output = answer.map_err(|error| self.failure(&error, "s3:DeleteObject").into_store_error(what()))?;
        let Some(refused) = output.errors().first() else {
            return Ok(());
        };
        let code = refused.code().unwrap_or("no code");
        let resource = format!("bucket {}", self.location.bucket);
        let cause = if code == "AccessDenied" {
            AwsError::Forbidden {
                action: "s3:DeleteObject",
                resource,
            }
        } else {
            AwsError::Other {
                server: self.server.clone(),
                action: "s3:DeleteObject",
                resource,
                reason: format!("{code}: {}", refused.message().unwrap_or_default()),
            }
        };
        // Some of them may be gone.
        Err(match code {
            "AccessDenied" => StoreError::other_because(what(), cause),
            _ => StoreError::unknown_because(what(), cause),
        })
    }
}
