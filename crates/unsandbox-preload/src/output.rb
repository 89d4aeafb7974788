# SPDX-License-Identifier: MIT OR Apache-2.0
# Each line is written at once; `output/gathered.rs` makes that cheap, and shows all of them when nothing is written.
STDOUT.sync = true
STDOUT.define_singleton_method(:flush) do
  super()
  syswrite("")
  self
end
