// Every page, for people to look at: desktop and phone, light and dark. Each is fit for its window and for everybody.

import { DESKTOP, eventually, PHONE } from "./reader.mjs";

const REFERENCE = "B0D1XD1ZV3";

export default async function ({ open }) {
  const pages = {
    opportunities: "/?limit=25",
    opportunity: `/o/${REFERENCE}:ES:IT`,
    product: `/p/${REFERENCE}`,
    routes: "/routes",
    system: "/system",
  };
  for (const [device, size] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colours of ["light", "dark"]) {
      const reader = await open({ size, colours, images: true });
      for (const [name, path] of Object.entries(pages)) {
        const page = await reader.go(path);
        await reader.awaitState("ready");
        if (name === "product") await eventually("the chart", () => page.locator("#chart .main-svg").count());
        await reader.photograph(`${name}, ${device}, ${colours}`);
        await reader.assertFits(`${name}, ${device}`);
        await reader.assertAccessible(`${name}, ${device}, ${colours}`);
      }
      await reader.context.close();
    }
  }
  const german = await open({ language: "de-DE", size: PHONE, images: true });
  for (const [name, path] of Object.entries(pages)) {
    await german.go(path);
    await german.awaitState("ready");
    await german.photograph(`${name}, phone, light, German`);
    await german.assertFits(`${name}, phone, German`);
  }
}
