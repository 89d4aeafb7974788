(println "started")
(flush)
(while true)
