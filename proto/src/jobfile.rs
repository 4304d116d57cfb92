//! YAML to [`crate::model::Job`].
