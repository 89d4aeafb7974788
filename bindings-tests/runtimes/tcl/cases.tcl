# SPDX-License-Identifier: MIT OR Apache-2.0
# Answers the lines of ../driver.py.
load [expr {[info exists env(UNSANDBOX_TCL)] ? $env(UNSANDBOX_TCL) : "./unsandboxtcl.so"}] Unsandboxtcl

fconfigure stdin -encoding utf-8 -translation lf
fconfigure stdout -encoding utf-8 -translation lf -buffering line
while {[gets stdin line] >= 0} {
    lassign [split $line \t] url key method json
    try {
        set name client:$url:$key
        if {[info commands $name] eq ""} { unsandbox $name $url {*}[expr {$key eq "-" ? {} : [list $key]}] }
        set answer "ok\t[$name $method $json]"
    } trap UNSANDBOX {message options} {
        set answer "[lindex [dict get $options -errorcode] 1]\t$message"
    }
    puts $answer
}
foreach name [info commands client:*] { rename $name {} }
