# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one program and prints what it wrote: tclsh hello.tcl (package json is Tcllib's)
package require json
load [expr {[info exists env(UNSANDBOX_TCL)] ? $env(UNSANDBOX_TCL) : "./unsandboxtcl.so"}] Unsandboxtcl

unsandbox client
set result [json::json2dict [client execute {{"language": "python", "code": "print(6 * 7)"}}]]
puts -nonewline [dict get $result stdout]
rename client {}
exit [dict get $result exit_code]
