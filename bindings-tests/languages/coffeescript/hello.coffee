console.log "hello from coffeescript"
