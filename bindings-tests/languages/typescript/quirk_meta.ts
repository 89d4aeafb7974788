import { fileURLToPath } from "url";
for await (const word of ["quirk"]) console.log(fileURLToPath(import.meta.url).endsWith(".js") ? word : "");
