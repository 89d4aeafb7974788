static class Words { public const string One = "several"; }
