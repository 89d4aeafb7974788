throw new Error "no way on"
