printfn "hello from fsharp"
