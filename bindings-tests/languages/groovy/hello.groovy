println "hello from groovy"
