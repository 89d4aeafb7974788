export * from "./word";
