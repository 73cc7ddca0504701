//! What has been covered: the arithmetic that makes intake exactly-once in effect and loss visible.
