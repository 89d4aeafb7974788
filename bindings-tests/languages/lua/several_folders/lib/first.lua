return { word = "se" }
