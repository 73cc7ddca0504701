//! Tests of counts: how likely chance alone brings a change this large.
