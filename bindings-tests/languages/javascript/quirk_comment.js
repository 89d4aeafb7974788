/*
  import { foo } from "./foo";
*/
console.log(__dirname.length > 0 ? "quirk" : "");
