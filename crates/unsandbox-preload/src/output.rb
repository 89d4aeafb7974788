# SPDX-License-Identifier: MIT OR Apache-2.0
# Each line is written at once; `output/gathered.rs` makes that cheap.
STDOUT.sync = true
