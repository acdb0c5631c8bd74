// Unpack Chromium and the libraries that a minimal Linux lacks into TMPDIR, as on Amazon Linux.
"use strict";

process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x";
const { default: chromium } = require("@sparticuz/chromium");

chromium.executablePath().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
