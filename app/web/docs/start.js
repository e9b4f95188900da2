// The page is static and its scripts come from this origin alone, so that a strict Content-Security-Policy holds.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null, // swagger-ui would ask a server of its makers
  });
});
