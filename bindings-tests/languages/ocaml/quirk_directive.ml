#load "str.cma";;
print_endline (Str.global_replace (Str.regexp "x") "i" "quxrk");;
