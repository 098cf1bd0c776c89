//! The 22 operations of the newest service model.

/// One operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are the service's, described in its reference
pub enum Operation {
    CreateIndex,
    CreateVectorBucket,
    DeleteIndex,
    DeleteVectorBucket,
    DeleteVectorBucketPolicy,
    DeleteVectors,
    GetIndex,
    GetVectorBucket,
    GetVectorBucketPolicy,
    GetVectors,
    ListIndexes,
    ListTagsForResource,
    ListVectorBuckets,
    ListVectors,
    PutVectorBucketDefaultIndexMode,
    PutVectorBucketPolicy,
    PutVectors,
    QueryVectors,
    TagResource,
    UntagResource,
    UpdateIndexMode,
    UpdateMetadataConfiguration,
}

impl Operation {
    /// All of them, by name.
    pub const ALL: [Self; 22] = [
        Self::CreateIndex,
        Self::CreateVectorBucket,
        Self::DeleteIndex,
        Self::DeleteVectorBucket,
        Self::DeleteVectorBucketPolicy,
        Self::DeleteVectors,
        Self::GetIndex,
        Self::GetVectorBucket,
        Self::GetVectorBucketPolicy,
        Self::GetVectors,
        Self::ListIndexes,
        Self::ListTagsForResource,
        Self::ListVectorBuckets,
        Self::ListVectors,
        Self::PutVectorBucketDefaultIndexMode,
        Self::PutVectorBucketPolicy,
        Self::PutVectors,
        Self::QueryVectors,
        Self::TagResource,
        Self::UntagResource,
        Self::UpdateIndexMode,
        Self::UpdateMetadataConfiguration,
    ];

    /// The name on the wire: `PutVectors`.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// The name in our files and metrics: `put_vectors`.
    pub fn snake(self) -> &'static str {
        self.names().1
    }

    /// Reads a wire name, exactly.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The IAM action that allows it: `s3vectors:PutVectors`.
    pub fn permission(self) -> String {
        format!("s3vectors:{}", self.name())
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::CreateIndex => ("CreateIndex", "create_index"),
            Self::CreateVectorBucket => ("CreateVectorBucket", "create_vector_bucket"),
            Self::DeleteIndex => ("DeleteIndex", "delete_index"),
            Self::DeleteVectorBucket => ("DeleteVectorBucket", "delete_vector_bucket"),
            Self::DeleteVectorBucketPolicy => ("DeleteVectorBucketPolicy", "delete_vector_bucket_policy"),
            Self::DeleteVectors => ("DeleteVectors", "delete_vectors"),
            Self::GetIndex => ("GetIndex", "get_index"),
            Self::GetVectorBucket => ("GetVectorBucket", "get_vector_bucket"),
            Self::GetVectorBucketPolicy => ("GetVectorBucketPolicy", "get_vector_bucket_policy"),
            Self::GetVectors => ("GetVectors", "get_vectors"),
            Self::ListIndexes => ("ListIndexes", "list_indexes"),
            Self::ListTagsForResource => ("ListTagsForResource", "list_tags_for_resource"),
            Self::ListVectorBuckets => ("ListVectorBuckets", "list_vector_buckets"),
            Self::ListVectors => ("ListVectors", "list_vectors"),
            Self::PutVectorBucketDefaultIndexMode => (
                "PutVectorBucketDefaultIndexMode",
                "put_vector_bucket_default_index_mode",
            ),
            Self::PutVectorBucketPolicy => ("PutVectorBucketPolicy", "put_vector_bucket_policy"),
            Self::PutVectors => ("PutVectors", "put_vectors"),
            Self::QueryVectors => ("QueryVectors", "query_vectors"),
            Self::TagResource => ("TagResource", "tag_resource"),
            Self::UntagResource => ("UntagResource", "untag_resource"),
            Self::UpdateIndexMode => ("UpdateIndexMode", "update_index_mode"),
            Self::UpdateMetadataConfiguration => ("UpdateMetadataConfiguration", "update_metadata_configuration"),
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_named_once_and_read_back() {
        for (position, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, position);
            assert_eq!(Operation::parse(operation.name()), Some(operation));
            let camel: String = operation
                .snake()
                .split('_')
                .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
                .collect();
            assert_eq!(camel, operation.name());
        }
        assert_eq!(Operation::parse("putvectors"), None);
        assert_eq!(Operation::PutVectors.permission(), "s3vectors:PutVectors");
    }
}
