/* A program that knows nothing of Infisical: it reads its environment, as one in Go or Rust does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    const char *url = getenv("DATABASE_URL");
    if (url == NULL) {
        fprintf(stderr, "DATABASE_URL is not set\n");
        return 1;
    }
    const char *host = strchr(url, '@');
    printf("database %s, client secret %s\n", host ? host + 1 : url,
           getenv("INFISICAL_CLIENT_SECRET") ? "seen" : "not seen");
    return 0;
}
