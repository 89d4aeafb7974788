console.log "started"
loop
  null
