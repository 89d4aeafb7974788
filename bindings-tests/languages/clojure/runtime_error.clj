(throw (ex-info "no way on" {}))
