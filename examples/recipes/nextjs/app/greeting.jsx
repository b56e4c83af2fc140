"use client";

import { useState } from "react";

// A build writes the value of NEXT_PUBLIC_API_URL into the bundle.
export function Greeting() {
  const [clicks, setClicks] = useState(0);
  return (
    <button onClick={() => setClicks(clicks + 1)}>
      {process.env.NEXT_PUBLIC_API_URL} was clicked {clicks} times
    </button>
  );
}
