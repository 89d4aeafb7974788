// Command quirk says one word.
/* package notmain */

package main

import "fmt"

func main() { fmt.Println("quirk") }
