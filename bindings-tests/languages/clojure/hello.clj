(println "hello from clojure")
