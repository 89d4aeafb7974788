[<EntryPoint>]
let main args =
    Array.iter (printfn "%s") args
    0
